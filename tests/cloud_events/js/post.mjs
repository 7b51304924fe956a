// Posts an event with the CloudEvents SDK, built anew for each mode, and prints each answer as a line of JSON.
// usage: post.mjs HOST:PORT EVENT MODE…, with the event in the JSON format and the token in TOKEN

import { createRequire } from "node:module";

const { LIBRARIES, TOKEN } = process.env;
const { CloudEvent, emitterFor, httpTransport } = createRequire(`${LIBRARIES}/package.json`)("cloudevents");

const [address, given, ...modes] = process.argv.slice(2);
const transport = httpTransport(`http://${address}/api/v1/events`);
for (const mode of modes) {
  const event = new CloudEvent(JSON.parse(given));
  // The answer's status is not told.
  const answer = await emitterFor(transport, { mode })(event, { headers: { Authorization: `Bearer ${TOKEN}` } });
  console.log(JSON.stringify(JSON.parse(answer.body)));
}
