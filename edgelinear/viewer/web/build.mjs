// Bundles the page into ../static, or with --tests its tests into build/, for node's own runner.
import { build } from "esbuild";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

const STATIC = "../static";
const INSIDE = ["heap", "lodash"]; // what cytoscape's own bundle holds parts of
const common = { bundle: true, format: "esm", target: "es2022", loader: { ".css": "text" } };

if (process.argv.includes("--tests")) {
  const tests = (await readdir("tests")).map((name) => join("tests", name));
  await build({
    ...common,
    entryPoints: tests,
    outdir: "build",
    platform: "node",
    outExtension: { ".js": ".mjs" },
  });
} else {
  const made = await build({
    ...common,
    entryPoints: { view: "src/main.ts" },
    outdir: STATIC,
    minify: true,
    charset: "utf8",
    legalComments: "external",
    metafile: true,
    write: false,
  });
  await mkdir(STATIC, { recursive: true });
  const text = (ending) => made.outputFiles.find((file) => file.path.endsWith(ending)).text;
  const script = text("view.js");
  if (/<\/script/i.test(script))
    throw new Error("the page holds </script, which ends it in a file of HTML");
  await writeFile(join(STATIC, "view.js"), script);
  await writeFile(join(STATIC, "licences.txt"), await licences(made.metafile, text(".LEGAL.txt")));
}

/** The licence of every package in the bundle, and the notices that stand in their code. */
async function licences(metafile, notices) {
  const found = Object.keys(metafile.inputs)
    .map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1])
    .filter((name) => name !== undefined);
  const texts = [];
  for (const name of new Set([...found.sort(), ...INSIDE])) {
    const folder = join("node_modules", name);
    const { version } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
    if (!file) throw new Error(`${name} is bundled, and no licence comes with it`);
    texts.push(`${name} ${version}\n\n${(await readFile(join(folder, file), "utf8")).trim()}\n`);
  }
  const text = notices.replace("Bundled license information:\n\n", "").replace(/[ \t]+$/gm, "");
  return [
    "view.js holds these packages.\n",
    ...texts,
    `Notices in their code\n\n${text.trim()}\n`,
  ].join("\n");
}
