// Fetches the net and runs it in a worker. What can go wrong becomes a Failure: a sentence for the person who reads it.

const here = (path) => new URL(path, import.meta.url).href;
const CURRENT = "Open this page in a current Chrome, Edge, Firefox or Safari.";

// The smallest program with one SIMD instruction: engines without SIMD refuse it.
const SIMD = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
);

export class Failure extends Error {}

/** The answer to a request, read by `read`; the network may be lost before it and in the middle of it. */
export async function download(path, read) {
  let answer;
  try {
    answer = await fetch(here(path));
    if (answer.ok) return await read(answer);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new Failure("The network was lost before everything had arrived.");
  }
  throw new Failure(`The host does not have ${path.split("/").pop()} (answer ${answer.status}).`);
}

function check() {
  if (typeof WebAssembly !== "object") throw new Failure(`The net needs WebAssembly, which this browser does not have. ${CURRENT}`);
  if (!WebAssembly.validate(SIMD) || typeof DecompressionStream !== "function") {
    throw new Failure(`This browser is too old for the net: its WebAssembly has no SIMD. ${CURRENT}`);
  }
}

/** The bytes of a file that is stored compressed; `arrived` gets the number of each part that comes. */
async function unpacked(path, arrived) {
  const packed = await download(path, async ({ body }) => {
    const parts = [];
    const reader = body.getReader();
    for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
      parts.push(value);
      arrived(value.length);
    }
    return new Blob(parts);
  });
  // Some hosts declare such files as compressed: then the browser has unpacked them already.
  const [first, second] = new Uint8Array(await packed.slice(0, 2).arrayBuffer());
  const isPacked = first === 0x1f && second === 0x8b;
  return new Response(isPacked ? packed.stream().pipeThrough(new DecompressionStream("gzip")) : packed).arrayBuffer();
}

/** Fetch the net, tell `progress` how many bytes have arrived, and start it. Resolves to a function: photo -> logits. */
export async function startNet(progress) {
  check();
  let bytes = 0;
  const arrived = (more) => progress((bytes += more));
  const [wasm, net] = await Promise.all(["./ort.wasm.gz", "./unet.onnx.gz"].map((path) => unpacked(path, arrived)));
  const worker = new Worker(here("./worker.js"), { type: "module" });
  const send = (message, moved) =>
    new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => (data.failed ? reject(new Failure(`The net stopped: ${data.failed}.`)) : resolve(data));
      worker.onerror = () => reject(new Failure("The net's program did not start: the network was lost, or this browser is too old."));
      worker.postMessage(message, moved);
    });
  await send({ files: { wasm, net } }, [wasm, net]);
  return (photo) => send({ photo });
}
