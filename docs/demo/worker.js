// Runs the net away from the page, which stays usable meanwhile. One photo in, its logits out.

import * as ort from "./ort.js";
import { toLogits, toPlanes } from "./pixels.js";

// More threads would need headers that a plain static host does not send.
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL("./ort-wasm-simd-threaded.wasm", import.meta.url).href };
const net = ort.InferenceSession.create(new URL("./unet.onnx", import.meta.url).href);
net.then(
  () => postMessage({ ready: true }),
  (error) => postMessage({ failed: String(error) }),
);

onmessage = async ({ data: { id, photo } }) => {
  try {
    const input = new ort.Tensor("float32", toPlanes(photo), [1, 3, photo.height, photo.width]);
    const began = performance.now();
    const { probability } = await (await net).run({ photo: input });
    const seconds = (performance.now() - began) / 1000;
    const logits = { data: toLogits(probability.data), width: photo.width, height: photo.height };
    postMessage({ id, logits, seconds }, [logits.data.buffer]);
  } catch (error) {
    postMessage({ id, failed: String(error) });
  }
};
