import { readFileSync, readdirSync } from "node:fs";
import { minifySync } from "rolldown/utils";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** Libraries are minified; our own code stays readable in the built files, so that a change shows as the lines it is. */
const minifyLibraries: Plugin = {
  name: "minify-libraries",
  apply: "build",
  generateBundle(_, bundle) {
    for (const chunk of Object.values(bundle))
      if (chunk.type === "chunk" && LIBRARIES.has(chunk.name)) chunk.code = minifySync(chunk.fileName, chunk.code).code;
  },
};
const LIBRARIES = new Set(["vendor", "dagre"]);

const SHIPPED = [
  "react", "react-dom", "scheduler", "@xyflow/react", "@xyflow/system", "zustand", "classcat", "@dagrejs/dagre",
  "d3-color", "d3-dispatch", "d3-drag", "d3-ease", "d3-interpolate", "d3-selection", "d3-timer", "d3-transition", "d3-zoom",
];

/** The licences of the libraries in the built files, beside them. */
const thirdParty: Plugin = {
  name: "third-party",
  apply: "build",
  generateBundle() {
    const texts = SHIPPED.map((name) => {
      const folder = `node_modules/${name}`;
      const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
      const { version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8")) as { version: string; license: string };
      return `${name} ${version} (${license})\n\n${file ? readFileSync(`${folder}/${file}`, "utf8").trim() : ""}\n`;
    });
    this.emitFile({ type: "asset", fileName: "THIRD-PARTY.txt", source: texts.join(`\n${"-".repeat(80)}\n\n`) });
  },
};

export default defineConfig({
  base: "./",
  plugins: [minifyLibraries, thirdParty],
  server: { proxy: { "/v1": { target: "http://127.0.0.1:8188", ws: true } } },
  build: {
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    minify: false,
    cssMinify: false,
    cssCodeSplit: false,
    reportCompressedSize: true,
    chunkSizeWarningLimit: 900,
    rolldownOptions: {
      onwarn: (warning, warn) => warning.code !== "MODULE_LEVEL_DIRECTIVE" && warn(warning),
      output: {
        comments: { legal: true, annotation: false, jsdoc: false },
        entryFileNames: "editor.js",
        chunkFileNames: "[name].js",
        assetFileNames: (asset) => (asset.names.some((name) => name.endsWith(".css")) ? "editor.css" : "[name][extname]"),
        codeSplitting: { groups: [{ name: "vendor", test: /node_modules\/(?!@dagrejs)/ }, { name: "dagre", test: /node_modules\/@dagrejs/ }] },
      },
    },
  },
  test: { environment: "node", include: ["test/**/*.test.ts"] },
});
