// Queues the prompt on standard input with @stable-canvas/comfyui-client; prints what it was told as JSON.
const { Client } = require("@stable-canvas/comfyui-client");
const WebSocket = require("ws");
const fs = require("fs");

const heard = [];
const client = new Client({ api_host: process.argv[2], WebSocket, fetch });
for (const type of ["execution_start", "execution_cached", "executing", "progress", "executed", "execution_success"])
  client.on(type, (data) => heard.push([type, data.node ?? null]));

async function main() {
  client.connect();
  const nodes = Object.keys(await client.getNodeDefs());
  const result = await client.enqueue(JSON.parse(fs.readFileSync(0, "utf8")));
  const picture = await fetch(result.images[0].data);
  const bytes = Buffer.from(await picture.arrayBuffer());
  const { History } = await client.getHistory();
  const queue = await client.getQueue();
  const stats = await client.getSystemStats();
  console.log(JSON.stringify({
    nodes, heard, picture: bytes.subarray(1, 4).toString(), history: History.length,
    queue: [queue.Running.length, queue.Pending.length], device: stats.devices[0].type,
  }));
  process.exit(0);
}

main().catch((error) => { console.error(error); process.exit(1); });
