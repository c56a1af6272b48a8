// Makes the calls given as JSON on standard input, with the AWS SDK for JavaScript; writes their results as JSON.
// A body is {"base64": ...} both ways.
import { text } from "node:stream/consumers";

const { endpoint, region, credentials, calls } = JSON.parse(await text(process.stdin));
const results = [];
for (const { service, operation, input, options } of calls) {
  const sdk = await import(`@aws-sdk/client-${service}`);
  const Client = Object.entries(sdk).find(([name]) => /Client$/.test(name) && name !== "__Client")[1];
  const client = new Client({ endpoint, region, credentials, maxAttempts: 1, ...options });
  try {
    if (input.Body?.base64) input.Body = Buffer.from(input.Body.base64, "base64");
    const { $metadata, ...output } = await client.send(new sdk[`${operation}Command`](input));
    if (output.Body) output.Body = { base64: await output.Body.transformToString("base64") };
    results.push({ output, error: null, message: null, requestId: $metadata.requestId });
  } catch (error) {
    if (!error.$metadata) throw error;
    results.push({ output: null, error: error.name, message: error.message, requestId: error.$metadata.requestId });
  }
}
process.stdout.write(JSON.stringify(results));
