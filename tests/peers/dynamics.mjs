// The npm client `dynamics-web-api`, as it is published, against one environment.
//
// Each line of standard input is a JSON object: the first has the environment and a token, every later one is a call,
// {"call": "retrieveAll", "arguments": [...]}, or {"batch": [call, ...], "options": {...}}. Each is answered by one JSON
// line, {"answer": ...} or {"error": {...}}. Bytes travel as {"base64": "..."}, both ways. The process ends when standard
// input closes.

import { createInterface } from 'node:readline';

import { DynamicsWebApi } from 'dynamics-web-api';

let client;

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line, (_, value) => (value?.base64 ? Buffer.from(value.base64, 'base64') : value));
  if (!client) {
    client = new DynamicsWebApi({
      serverUrl: asked.serverUrl,
      dataApi: { version: '9.2' },
      onTokenRefresh: async () => asked.token,
    });
    continue;
  }
  say(await answer(asked));
}

async function answer(asked) {
  try {
    if (asked.batch) {
      client.startBatch();
      for (const one of asked.batch) client[one.call](...one.arguments);
      return { answer: await client.executeBatch(asked.options) };
    }
    return { answer: await client[asked.call](...asked.arguments) };
  } catch (error) {
    const thrown = Array.isArray(error) ? error[0] : error; // a batch that failed is thrown as a list
    const told = thrown.error ?? thrown;
    return { error: { message: told.message, code: told.code, status: thrown.status } };
  }
}

function say(what) {
  const plain = (_, value) =>
    value?.type === 'Buffer' ? { base64: Buffer.from(value.data).toString('base64') } : value;
  process.stdout.write(`${JSON.stringify(what, plain)}\n`);
}
