// The npm client `dynamics-web-api`, as it is published, against one environment.
//
// Each line of standard input is a JSON object: the first has the environment and a token, every later one is a call,
// {"call": "retrieveAll", "arguments": [...]}, or {"batch": [call, ...], "options": {...}}. Each is answered by one JSON
// line, {"answer": ...} or {"error": {...}}. The process ends when standard input closes.

import { createInterface } from 'node:readline';

import { DynamicsWebApi } from 'dynamics-web-api';

let client;

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
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
    return { error: { message: error.message, code: error.code, status: error.status } };
  }
}

function say(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}
