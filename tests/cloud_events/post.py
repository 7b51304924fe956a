"""Posts events with the CloudEvents SDK in each mode and prints, a line of JSON each, what was sent and answered.

usage: post.py HOST:PORT, with the token in TOKEN
"""

import json
import os
import sys
from datetime import datetime, timezone
from http.client import HTTPConnection

from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

EVENTS = "/api/v1/events"
BATCH = "/api/v1/events/batch"
DRY_RUN = "/api/v1/events/validate"
TIME = datetime(2018, 4, 5, 17, 31, 0, tzinfo=timezone.utc)

# What an event can carry: the data's type, if it says one, and the data.
DATA = [
    ("application/json", {"appinfoA": "abc", "appinfoB": 123, "appinfoC": True}),
    (None, {"page": "/home", "duration": 45.5}),
    ("application/vnd.example+json", {"nested": {"list": [1, 2.5, None]}}),
    ("text/plain", "hello, \u20ac"),
    ("application/xml", '<much wow="xml"/>'),
    ("application/octet-stream", bytes([0, 1, 254, 255])),
    (None, None),
]


def event(mode, number, datacontenttype, data):
    attributes = {
        "type": "com.example.someevent",
        "source": f"/sdk/{mode}",
        "id": f"A234-{number}",
        "time": TIME,
        "subject": 'Euro \u20ac \U0001f600 100% "quoted"',
        "dataschema": "https://example.com/schema?a=b&c=%20d",
        "comexampleextension1": "value",
    }
    if datacontenttype:
        attributes["datacontenttype"] = datacontenttype
    return CloudEvent(attributes, data)


def batch(events):
    """The SDK has no batched mode: a batch is a list of events in its JSON format."""
    body = b"[" + b",".join(JSONFormat().write(one) for one in events) + b"]"
    return HTTPMessage({"content-type": "application/cloudevents-batch+json"}, body)


def structured_with_headers(one):
    """What the binding allows too: the attributes of structured mode once more in headers."""
    message = to_structured_event(one)
    return HTTPMessage({**to_binary_event(one).headers, **message.headers}, message.body)


def post(connection, mode, path, message, events):
    headers = {**message.headers, "Authorization": f"Bearer {os.environ['TOKEN']}"}
    connection.request("POST", path, body=message.body, headers=headers)
    answer = connection.getresponse()
    report = {
        "mode": mode,
        "path": path,
        "status": answer.status,
        "answer": json.loads(answer.read()),
        "sent": [json.loads(JSONFormat().write(one)) for one in events],
    }
    print(json.dumps(report))


def main():
    connection = HTTPConnection(sys.argv[1], timeout=60)
    modes = [
        ("binary", to_binary_event),
        ("structured", to_structured_event),
        ("headers", structured_with_headers),
    ]
    for mode, message_of in modes:
        for number, (kind, data) in enumerate(DATA):
            one = event(mode, number, kind, data)
            for path in (DRY_RUN, EVENTS, EVENTS):
                post(connection, mode, path, message_of(one), [one])
    events = [event("batched", number, kind, data) for number, (kind, data) in enumerate(DATA)]
    for path in (DRY_RUN, BATCH, BATCH):
        post(connection, "batched", path, batch(events), events)
    post(connection, "empty", BATCH, batch([]), [])


main()
