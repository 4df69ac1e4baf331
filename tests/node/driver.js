// Drives one mqtt.js client for the tests: a JSON command per line on standard input, a JSON event
// per line on standard output. It decides nothing; tests/support/mqttjs.py is its other half.
//
// Commands: {do: "connect", url, options} {do: "subscribe", filter, options} {do: "publish", topic,
// payload (base64), options} {do: "unsubscribe", filter} {do: "end", force}. Each but connect carries
// an `id`, which the event that answers it repeats.
"use strict";

const readline = require("node:readline");
const mqtt = require("mqtt");

let client;

function tell(event) {
  process.stdout.write(JSON.stringify(event) + "\n");
}

// Properties hold Buffers (correlation data): as base64 they survive JSON.
function plain(properties) {
  return JSON.parse(JSON.stringify(properties || {}), (_key, value) =>
    value && value.type === "Buffer" ? { base64: Buffer.from(value.data).toString("base64") } : value);
}

function withBuffers(options) {
  const correlation = options?.properties?.correlationData;
  if (correlation) options.properties.correlationData = Buffer.from(correlation, "base64");
  return options || {};
}

function connect({ url, options }) {
  if (options.will) options.will.payload = Buffer.from(options.will.payload, "base64");
  client = mqtt.connect(url, { reconnectPeriod: 0, ...options });
  client.on("connect", (it) => tell({ on: "connect", sessionPresent: it.sessionPresent, properties: plain(it.properties) }));
  client.on("message", (topic, payload, packet) => tell({
    on: "message", topic, payload: payload.toString("base64"), qos: packet.qos,
    retain: packet.retain, dup: packet.dup, properties: plain(packet.properties),
  }));
  client.on("disconnect", (packet) => tell({ on: "disconnect", reason: packet.reasonCode }));
  client.on("close", () => tell({ on: "close" }));
  client.on("error", (error) => tell({ on: "error", message: String(error.message), code: error.code }));
}

const commands = {
  connect,
  subscribe({ id, filter, options }) {
    client.subscribe(filter, options || {}, (error, granted) =>
      tell({ on: "done", id, error: error && String(error.message), granted: (granted || []).map((it) => it.qos) }));
  },
  unsubscribe({ id, filter }) {
    client.unsubscribe(filter, (error) => tell({ on: "done", id, error: error && String(error.message) }));
  },
  publish({ id, topic, payload, options }) {
    client.publish(topic, Buffer.from(payload, "base64"), withBuffers(options), (error, packet) =>
      tell({ on: "done", id, error: error && String(error.message), code: (error && error.code) ?? packet?.reasonCode }));
  },
  end({ id, force }) {
    client.end(Boolean(force), () => tell({ on: "done", id }));
  },
};

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
}).on("close", () => process.exit(0));
