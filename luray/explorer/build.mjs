// Builds the page into the folder `page`, which is committed and ships in the wheel.
//
//   node build.mjs            build
//   node build.mjs --check    build into memory, and compare with what is there; exit code 1 if not

import { createHash } from "node:crypto";
import { readFile, readdir, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as esbuild from "esbuild";

const here = import.meta.dirname;
const page = join(here, "page");

/** What the page is built from; tests/explorer/test_bundle.py hashes the same files. */
async function sources() {
  const listed = await readdir(join(here, "src"));
  return [
    ...["build.mjs", "index.html", "package-lock.json", "package.json", "tsconfig.json"],
    ...listed.sort().map((name) => `src/${name}`),
  ];
}

async function fingerprint() {
  const hash = createHash("sha256");
  for (const name of await sources()) {
    hash.update(`${name}\n`).update(await readFile(join(here, name)));
  }
  return hash.digest("hex");
}

const shared = {
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  write: false,
  absWorkingDir: here,
  loader: { ".woff2": "file" },
  alias: { "numcodecs/zstd": "./src/zstd.ts", "numcodecs/lz4": "./src/no_codec.ts" },
  assetNames: "[name]",
};
const results = await Promise.all([
  esbuild.build({
    ...shared,
    entryPoints: { explorer: "src/main.ts" },
    outdir: "page",
  }),
  esbuild.build({
    ...shared,
    entryPoints: { explorer: "src/style.css" },
    outdir: "page",
  }),
  esbuild.build({
    ...shared,
    entryPoints: { worker: "node_modules/maplibre-gl/dist/maplibre-gl-worker.mjs" },
    outdir: "page",
  }),
]);

const files = new Map();
for (const { outputFiles } of results) {
  for (const { path, contents } of outputFiles) {
    files.set(path.slice(page.length + 1), Buffer.from(contents));
  }
}
files.set("index.html", await readFile(join(here, "index.html")));
const world = JSON.parse(await readFile(join(here, "node_modules/world-atlas/countries-50m.json")));
for (const geometry of world.objects.countries.geometries) {
  delete geometry.properties;
  delete geometry.id;
}
files.set("world.json", Buffer.from(JSON.stringify(world)));
files.set("LICENCES.txt", Buffer.from(await licences()));
files.set("sources.sha256", Buffer.from(`${await fingerprint()}\n`));

/** Licences of what the bundle holds. */
async function licences() {
  const lock = JSON.parse(await readFile(join(here, "package-lock.json")));
  const texts = ["The page holds these packages.\n"];
  const used = new Set();
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (path === "" || entry.dev || entry.optional) continue;
    const folder = join(here, path);
    const names = await readdir(folder);
    const file = names.find((name) => /^licen[cs]e/i.test(name));
    const name = path.replace(/^.*node_modules\//, "");
    if (used.has(name)) continue;
    used.add(name);
    texts.push(`${"-".repeat(80)}\n${name} ${entry.version}, ${entry.license ?? "see below"}\n`);
    if (file) texts.push((await readFile(join(folder, file), "utf8")).trim() + "\n");
  }
  return texts.join("\n");
}

if (process.argv.includes("--check")) {
  const differing = [];
  for (const [name, bytes] of files) {
    const there = await readFile(join(page, name)).catch(() => undefined);
    if (there === undefined || !there.equals(bytes)) differing.push(name);
  }
  const extra = (await readdir(page)).filter((name) => !files.has(name));
  if (differing.length + extra.length > 0) {
    console.error(`not the build of the sources: ${[...differing, ...extra].join(", ")}`);
    console.error("run `make explorer`, and commit luray/explorer/page");
    process.exit(1);
  }
} else {
  await rm(page, { recursive: true, force: true });
  await mkdir(page);
  for (const [name, bytes] of files) await writeFile(join(page, name), bytes);
  for (const [name, bytes] of files) console.log(`${name} ${bytes.length}`);
}
