import { defineConfig } from "vitest/config";

export default defineConfig({
  base: "./", // the site may lie in any folder
  resolve: {
    // The build of onnxruntime-web that is told where its WebAssembly lies.
    conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "production"],
  },
  worker: { format: "es" },
  build: { target: "es2022", chunkSizeWarningLimit: 1000 },
  test: { include: ["tests/*.test.ts"] },
});
