// Runs the net away from the page, which stays usable meanwhile. First the net's files, then one photo in, its logits out.

import * as ort from "./ort.js";
import { toLogits, toPlanes } from "./pixels.js";

let net = null;

onmessage = async ({ data }) => {
  try {
    if (data.files) {
      // More threads would need headers that a plain static host does not send.
      ort.env.wasm.numThreads = 1;
      ort.env.wasm.wasmBinary = data.files.wasm;
      net = await ort.InferenceSession.create(new Uint8Array(data.files.net));
      postMessage({ ready: true });
      return;
    }
    const { id, photo } = data;
    const input = new ort.Tensor("float32", toPlanes(photo), [1, 3, photo.height, photo.width]);
    const began = performance.now();
    const { probability } = await net.run({ photo: input });
    const seconds = (performance.now() - began) / 1000;
    const logits = { data: toLogits(probability.data), width: photo.width, height: photo.height };
    postMessage({ id, logits, seconds }, [logits.data.buffer]);
  } catch (error) {
    postMessage({ id: data.id, failed: String(error) });
  }
};
