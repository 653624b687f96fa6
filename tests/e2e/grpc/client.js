// SPDX-License-Identifier: Apache-2.0
//
// Makes gRPC calls with the gRPC project's own client and tells what came of
// them: usage node client.js SOCKET PROTO, with a JSON array of calls on
// standard input and a JSON array of results, in the same order, on standard
// output. Calls are made one after the other over one connection.
//
// A call:
//   service, method     "cay.vminitd.v1.Vminitd", "Version"
//   request             the message, for methods that take one ({} if absent);
//                       bytes are base64, 64-bit integers are strings
//   requests            the messages, for methods that take a stream
//   hold_open           such a method's sending side is not closed
//   deadline_ms         none if absent
//   cancel_after        cancelled once this many responses have come (0: at once)
//   cancel_after_ms     cancelled after this time
//   pause_ms            a streamed response is not read for this long
//   count_only          tells the number and size of the responses, not what they hold
//   times               made this often, at once; the result is an array then
// A result:
//   code, details       the gRPC status
//   trailers            of the status, as an object
//   responses           the messages; with count_only `count` and `bytes`
//   ms                  how long it took
"use strict";

const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const MESSAGE_MAX = 4 * 1024 * 1024;

function clientFor(root, address, service) {
  const constructor = service.split(".").reduce((at, name) => at[name], root);
  return new constructor(address, grpc.credentials.createInsecure(), {
    "grpc.default_authority": "localhost",
    "grpc.max_receive_message_length": MESSAGE_MAX,
    "grpc.enable_retries": 0,
  });
}

function trailersOf(status) {
  return status.metadata ? status.metadata.getMap() : {};
}

function dataSize(message) {
  return Object.values(message).reduce((sum, value) => sum + (Buffer.isBuffer(value) ? value.length : 0), 0);
}

// JSON.stringify() with bytes as base64; it hands over what their toJSON() has made of them.
function printable(key, value) {
  return value && value.type === "Buffer" ? Buffer.from(value.data).toString("base64") : value;
}

function makeCall(client, call) {
  return new Promise((resolve) => {
    const definition = client[call.method];
    if (!definition) {
      throw new Error(`${call.service} has no method ${call.method}`);
    }
    const options = {};
    if (call.deadline_ms !== undefined) {
      options.deadline = Date.now() + call.deadline_ms;
    }
    const began = process.hrtime.bigint();
    const result = { code: null, details: "", trailers: {}, responses: [] };
    let count = 0, bytes = 0, finished = false;

    function take(message) {
      count++;
      if (call.count_only) {
        bytes += dataSize(message);
      } else {
        result.responses.push(message);
      }
      if (call.cancel_after !== undefined && count === call.cancel_after) {
        active.cancel();
      }
    }
    function finish(status) {
      if (finished) {
        return;
      }
      finished = true;
      Object.assign(result, { code: status.code, details: status.details, trailers: trailersOf(status) });
      if (call.count_only) {
        delete result.responses;
        Object.assign(result, { count, bytes });
      }
      result.ms = Number(process.hrtime.bigint() - began) / 1e6;
      resolve(result);
    }

    const empty = new grpc.Metadata();
    const answered = (error, message) => {
      if (!error) {
        take(message);
      }
    };
    let active;
    if (definition.requestStream) {
      active = definition.responseStream ? client[call.method](empty, options) :
        client[call.method](empty, options, answered);
      for (const request of call.requests || []) {
        active.write(request);
      }
      if (!call.hold_open) {
        active.end();
      }
    } else {
      const request = call.request || {};
      active = definition.responseStream ? client[call.method](request, empty, options) :
        client[call.method](request, empty, options, answered);
    }
    if (definition.responseStream) {
      const read = () => active.on("data", take);
      active.on("error", () => {}); // the status says the same
      if (call.pause_ms) {
        setTimeout(read, call.pause_ms);
      } else {
        read();
      }
    }
    // The status event may come before the last message has been read from the stream.
    let status = null, drained = !definition.responseStream;
    const check = () => status && (drained || status.code !== 0) && setImmediate(finish, status);
    active.on("status", (told) => { status = told; check(); });
    active.on("end", () => { drained = true; check(); });
    if (call.cancel_after === 0) {
      active.cancel();
    }
    if (call.cancel_after_ms !== undefined) {
      setTimeout(() => active.cancel(), call.cancel_after_ms);
    }
  });
}

// Not by readFileSync(), which fails with EAGAIN where Node.js has made the pipe non-blocking.
async function readInput() {
  const pieces = [];

  for await (const piece of process.stdin) {
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

async function main() {
  const [socket, proto] = process.argv.slice(2);
  const calls = JSON.parse(await readInput());
  const root = grpc.loadPackageDefinition(loader.loadSync(proto, {
    keepCase: true, longs: String, enums: String, bytes: Buffer, defaults: true, oneofs: true,
  }));
  const clients = new Map();
  const results = [];

  for (const call of calls) {
    if (!clients.has(call.service)) {
      clients.set(call.service, clientFor(root, `unix:${socket}`, call.service));
    }
    const client = clients.get(call.service);
    if (call.times === undefined) {
      results.push(await makeCall(client, call));
    } else {
      results.push(await Promise.all(Array.from({ length: call.times }, () => makeCall(client, call))));
    }
  }
  clients.forEach((client) => client.close());
  process.stdout.write(JSON.stringify(results, printable));
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
