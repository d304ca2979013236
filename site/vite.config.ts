import { defineConfig } from "vitest/config";

/** The explorer for notebooks: one module that holds all but the model. */
const notebook = {
  target: "es2022",
  emptyOutDir: false,
  copyPublicDir: false,
  assetsInlineLimit: 1_000_000,
  lib: { entry: "src/notebook.ts", formats: ["es" as const], fileName: "notebook" },
};

// `vite build` makes the page, and `vite build --mode notebook` the module for notebooks.
export default defineConfig(({ mode }) => ({
  base: "./", // the site may lie in any folder
  resolve: {
    // The build of onnxruntime-web that is told where its WebAssembly lies.
    conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "production"],
  },
  worker: { format: "es" as const },
  build:
    mode === "notebook" ? notebook : { target: "es2022", chunkSizeWarningLimit: 1000 },
  test: { include: ["tests/*.test.ts"] },
}));
