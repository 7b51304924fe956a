"""Posts an event with the CloudEvents SDK 1.12, built anew for each mode, and prints each answer as a line of JSON.

usage: post_1.py HOST:PORT EVENT MODE..., with the event in the JSON format and the token in TOKEN
"""

import json
import os
import sys

sys.path.insert(0, f"{sys.prefix}/cloudevents-1")

import requests
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent

MODES = {"binary": to_binary, "structured": to_structured}


def main():
    address, given, *modes = sys.argv[1:]
    for mode in modes:
        attributes = json.loads(given)
        data = attributes.pop("data")
        headers, body = MODES[mode](CloudEvent(attributes, data))
        headers["Authorization"] = f"Bearer {os.environ['TOKEN']}"
        answer = requests.post(f"http://{address}/api/v1/events", data=body, headers=headers, timeout=60)
        print(json.dumps(answer.json()))


main()
