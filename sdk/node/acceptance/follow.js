'use strict';

/** Print the messages of an app's log lines that begin with "line ", until the app is removed. */

const Orchestry = require('../index.js');

async function main() {
  const client = new Orchestry(process.env.ORCHESTRY_URL.split(','));
  for await (const { message } of client.streamLogs(process.env.APP, { tail: 1000 })) {
    if (message.startsWith('line ')) console.log(message);
  }
  client.close();
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
