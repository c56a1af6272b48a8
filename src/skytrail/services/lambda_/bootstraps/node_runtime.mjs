// The runtime of Node functions: takes events from the Runtime API and hands them to the handler.
// It runs in the function's process and imports nothing but Node's own modules.

import { existsSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { format } from "node:util";

const ROOT = "/2018-06-01/runtime";
const TASK = process.env.LAMBDA_TASK_ROOT;
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

let requestId = "";

class Failed extends Error {
  constructor(kind, message) {
    super(message);
    this.name = kind;
  }
}

function ask(method, where, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const data = body === undefined ? undefined : Buffer.from(body);
    const sent = { ...headers, ...(data ? { "Content-Length": data.length } : {}) };
    const request = http.request({ host, port, method, path: ROOT + where, agent, headers: sent }, (response) => {
      const pieces = [];
      response.on("data", (piece) => pieces.push(piece));
      response.on("end", () => resolve({ headers: response.headers, body: Buffer.concat(pieces) }));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end(data);
  });
}

function told(error) {
  if (error instanceof Error) {
    return { errorType: error.name, errorMessage: error.message, trace: (error.stack ?? "").split("\n") };
  }
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
}

async function fail(where, error) {
  const document = told(error);
  const kind = document.errorType.replace(/[^\x20-\x7e]/g, "?");
  await ask("POST", where, JSON.stringify(document), {
    "Content-Type": "application/json",
    "Lambda-Runtime-Function-Error-Type": kind,
  });
}

// Lines as Lambda writes them: a line break within one would make two of it.
function write(level, args) {
  const text = format(...args).replaceAll("\n", "\r");
  process.stdout.write(`${new Date().toISOString()}\t${requestId || "undefined"}\t${level}\t${text}\n`);
}

for (const [name, level] of [
  ["trace", "TRACE"], ["debug", "DEBUG"], ["log", "INFO"], ["info", "INFO"], ["warn", "WARN"], ["error", "ERROR"],
]) {
  console[name] = (...args) => write(level, args);
}

async function load() {
  const name = process.env._HANDLER;
  const folder = path.dirname(name);
  const parts = /^([^.]+)\.(.+)$/.exec(path.basename(name));
  if (!parts || name.includes("..")) throw new Failed("Runtime.MalformedHandlerName", "Bad handler");
  const base = path.resolve(TASK, folder, parts[1]);
  const file = [base, `${base}.js`, `${base}.mjs`, `${base}.cjs`].find((each) => existsSync(each));
  if (!file) {
    throw new Failed("Runtime.ImportModuleError", `Error: Cannot find module '${path.join(folder, parts[1])}'`);
  }
  let found;
  try {
    const module = file.endsWith(".cjs") ? createRequire(file)(file) : await import(pathToFileURL(file));
    for (const root of [module, module.default]) {
      found = parts[2].split(".").reduce((value, key) => value?.[key], root);
      if (found !== undefined) break;
    }
  } catch (error) {
    if (error instanceof SyntaxError) throw new Failed("Runtime.UserCodeSyntaxError", String(error));
    if (["ERR_MODULE_NOT_FOUND", "MODULE_NOT_FOUND"].includes(error?.code)) {
      throw new Failed("Runtime.ImportModuleError", String(error));
    }
    throw error;
  }
  if (found === undefined) throw new Failed("Runtime.HandlerNotFound", `${name} is undefined or not exported`);
  if (typeof found !== "function") throw new Failed("Runtime.HandlerNotFound", `${name} is not a function`);
  return found;
}

function contextOf(headers) {
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  const client = headers["lambda-runtime-client-context"];
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    awsRequestId: requestId,
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    clientContext: client ? JSON.parse(client) : undefined,
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
  };
}

// The answer of a handler that returns a promise, calls back, or does neither before nothing is left to do.
function run(handler, event, context) {
  return new Promise((resolve, reject) => {
    let outcome = () => resolve(null);
    const end = () => {
      process.removeListener("beforeExit", end);
      outcome();
    };
    const callback = (error, result) => {
      outcome = error === undefined || error === null ? () => resolve(result) : () => reject(error);
      if (context.callbackWaitsForEmptyEventLoop === false) setImmediate(end);
    };
    context.done = callback;
    context.succeed = (result) => callback(null, result);
    context.fail = (error) => callback(error ?? new Error("Unknown"));
    const returned = handler(event, context, callback);
    if (typeof returned?.then === "function") returned.then(resolve, reject);
    else process.on("beforeExit", end);
  });
}

for (const [name, kind, status] of [
  ["uncaughtException", null, 129], ["unhandledRejection", "Runtime.UnhandledPromiseRejection", 128],
]) {
  process.on(name, async (error) => {
    const shown = kind ? new Failed(kind, String(error)) : error;
    write("ERROR", ["Uncaught Exception", JSON.stringify(told(shown))]);
    await fail(requestId ? `/invocation/${requestId}/error` : "/init/error", shown).catch(() => {});
    process.exit(status);
  });
}

async function main() {
  let handler;
  try {
    handler = await load();
  } catch (error) {
    write("ERROR", ["Uncaught Exception", JSON.stringify(told(error))]);
    await fail("/init/error", error);
    process.exit(1);
  }
  for (;;) {
    const { headers, body } = await ask("GET", "/invocation/next");
    requestId = headers["lambda-runtime-aws-request-id"];
    process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"] ?? "";
    try {
      const answer = await run(handler, JSON.parse(body.toString()), contextOf(headers));
      await ask("POST", `/invocation/${requestId}/response`, JSON.stringify(answer) ?? "null", {
        "Content-Type": "application/json",
      });
    } catch (error) {
      write("ERROR", ["Invoke Error", JSON.stringify(told(error))]);
      await fail(`/invocation/${requestId}/error`, error);
    }
  }
}

await main();
