// SPDX-License-Identifier: Apache-2.0
//
// Stands for a guest by the gRPC project's own server: usage node server.js
// SOCKET PROTO SERVICE, with a JSON object on standard input that has, for each
// method, what it answers: an array of messages, of which a unary method gives
// the first; bytes are base64. The methods of others are unimplemented. It says
// "ready" once it listens and ends with its standard output's reader.
"use strict";

const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

async function readInput() {
  const pieces = [];

  for await (const piece of process.stdin) {
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

function handler(definition, messages) {
  if (!definition.responseStream) {
    return (call, answer) => answer(null, messages[0]);
  }
  return (call) => {
    for (const message of messages) {
      call.write(message);
    }
    call.end();
  };
}

async function main() {
  const [socket, proto, name] = process.argv.slice(2);
  const answers = JSON.parse(await readInput());
  const root = grpc.loadPackageDefinition(loader.loadSync(proto, { keepCase: true, longs: String }));
  const service = name.split(".").reduce((at, part) => at[part], root).service;
  const server = new grpc.Server();
  const handlers = {};

  for (const [method, messages] of Object.entries(answers)) {
    const definition = service[method];
    for (const message of messages) {
      if (message.data !== undefined) {
        message.data = Buffer.from(message.data, "base64");
      }
    }
    handlers[method] = handler(definition, messages);
  }
  server.addService(service, handlers);
  server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), (error) => {
    if (error) {
      throw error;
    }
    process.stdout.on("error", () => process.exit(0));
    process.stdout.write("ready\n");
  });
}

main();
