import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import { tanstackRouter } from "@tanstack/router-plugin/vite";
import { VitePWA } from "vite-plugin-pwa";
import { defineConfig } from "vitest/config";
import { compressed, early, kept, MANIFEST } from "./scripts/plugins.ts";

const OUT = fileURLToPath(new URL("../src/regime_trading/web", import.meta.url));

/** Few files, as each costs a way there and back: what every page begins with, and what every page of the desk has. */
const CHUNKS = [
  {
    name: "frame",
    priority: 3,
    test: /node_modules\/(preact|use-sync-external-store|openapi-fetch|@tanstack\/(react-router|router-core|history|store|react-store))\/|query-core\/build\/modern\/(?!infinite|queryObs|queriesObs|mutationObs|hydration|streamed)|react-query\/build\/modern\/(QueryClientProvider|queryOptions)/,
  },
  {
    name: "base",
    priority: 2,
    test: /preload-helper|src\/(shared\/(api\/(client|me|door)|clock|copy|ui\/(cx|Button|Panel|Field)|format\/(time|numbers)|prefs)|features\/(passkey|record|stream|layout|basket)|shell\/update)\./,
  },
  {
    name: "desk",
    priority: 1,
    minShareCount: 4,
    test: /src\/(shell|shared(?!\/ui\/Rows)|features\/(?!Confirm|StepUp|LongTable))|node_modules\/(@?radix-ui|lucide-react|@tanstack\/(?!react-virtual|virtual-core)|react-remove-scroll|react-style-singleton|aria-hidden|use-sidecar|use-callback-ref|tslib|get-nonce)/,
  },
  {
    name: "rows", // long lists, which the first page has none of
    priority: 0,
    test: /@tanstack\/(react-virtual|virtual-core)\/|src\/(features\/LongTable|shared\/ui\/Rows)\./,
  },
];

/** Written against React, shipped with Preact: docs/decisions/0027. */
const REACT = {
  "react/jsx-runtime": "preact/jsx-runtime",
  "react/jsx-dev-runtime": "preact/jsx-dev-runtime",
  "react-dom/client": "preact/compat/client",
  "react-dom": "preact/compat",
  react: "preact/compat",
};

export default defineConfig({
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)), ...REACT } },
  plugins: [
    tanstackRouter({ target: "react", autoCodeSplitting: true, quoteStyle: "double", semicolons: true }),
    tailwindcss(),
    VitePWA({
      strategies: "injectManifest",
      srcDir: "src",
      filename: "sw.ts",
      registerType: "prompt",
      injectRegister: false,
      injectManifest: {
        globPatterns: ["**/*.{js,css,html,svg,png,woff2}"],
        globIgnores: ["**/Markdown-*.js", "**/QrCode-*.js"],
        maximumFileSizeToCacheInBytes: 500 * 1024,
      },
      manifest: {
        name: "Regime Trading",
        short_name: "Regime",
        description: "Regimes, allocations, and every account's own rules.",
        start_url: "/overview",
        id: "/",
        scope: "/",
        display: "standalone",
        background_color: "#0b0d10",
        theme_color: "#0b0d10",
        icons: [
          { src: "/icon-192.png", sizes: "192x192", type: "image/png" },
          { src: "/icon-512.png", sizes: "512x512", type: "image/png" },
          { src: "/icon-maskable.png", sizes: "512x512", type: "image/png", purpose: "maskable" },
        ],
        shortcuts: [
          { name: "Halt", url: "/overview?halt=1" },
          { name: "Approvals", url: "/approvals" },
          { name: "Constraints", url: "/constraints" },
        ],
      },
    }),
    early(),
    kept(OUT),
    compressed(OUT),
  ],
  build: {
    outDir: OUT,
    emptyOutDir: true,
    manifest: MANIFEST,
    sourcemap: false,
    chunkSizeWarningLimit: 500,
    target: "es2022",
    modulePreload: { polyfill: false },
    rollupOptions: { output: { codeSplitting: { groups: CHUNKS } } },
  },
  server: { proxy: { "/api": "http://localhost:8000", "/ws": { target: "ws://localhost:8000", ws: true } } },
  test: {
    environment: "jsdom",
    globals: true,
    setupFiles: ["src/test-setup.ts"],
    server: { deps: { inline: [/react|radix|cmdk|markdown-to-jsx/] } }, // so that they get Preact as well
    include: ["{src,scripts}/**/*.test.{ts,tsx,mjs}"],
  },
});
