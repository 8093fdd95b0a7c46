/**
 * The package in a browser: `npm run test:browser`.
 *
 * Packs the tarball, installs it in an empty folder, bundles core, memory, p2pke, quic and their suites with esbuild,
 * runs them in headless Chromium and Firefox, and says how large the bundles are. A browser that is not installed is skipped by name.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { peerIdOfKey } from 'shoal/keys';
import { testKey } from 'shoal/testing';
import { build as bundle } from 'esbuild';
import { build } from '../build.ts';
import { cctvVerdicts, type CctvVector } from '../../test/browser/cctv.ts';
import { vectorsOf } from '../../test/vectors/public.ts';
import { installTarball, pack } from '../package.ts';
import { root } from '../public-modules.ts';
import { type Browser, type Files, findBrowsers, runPage } from './run-page.ts';

/** What users of browsers would write, for the sizes. */
const PROGRAMS: Readonly<Record<string, string>> = {
  'core and memory': "export * from 'shoal'; export * from 'shoal/memory';",
  'core, memory and p2pke': "export * from 'shoal'; export * from 'shoal/memory'; export * from 'shoal/p2pke';",
  'quic, without its WASM': "export * from 'shoal/quic';",
};

async function bundled(folder: string, entry: string, minify: boolean): Promise<Uint8Array> {
  const { outputFiles } = await bundle({
    entryPoints: [entry],
    absWorkingDir: folder,
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify,
    write: false,
    outfile: path.join(folder, 'bundle.js'),
    logLevel: 'silent',
  });
  return outputFiles[0]!.contents;
}

interface Report {
  readonly passed: number;
  readonly skipped: readonly string[];
  readonly failures: readonly { readonly name: string; readonly why: string }[];
  readonly ids: readonly string[];
  /** A digit for each public Ed25519 vector, where there are some. */
  readonly verdicts?: string | undefined;
}

/** What pages ask for: the suites, the engine, and the public vectors where there are some. */
async function pageFiles(folder: string, vectors: Uint8Array | undefined): Promise<Files> {
  for (const name of ['suites.ts', 'cctv.ts']) {
    writeFileSync(path.join(folder, name), readFileSync(path.join(root, 'test', 'browser', name)));
  }
  const page =
    '<!doctype html><meta charset="utf-8"><title>shoal</title><script type="module" src="/bundle.js"></script>';
  const wasm = readFileSync(path.join(root, 'dist', 'quic', 'engine.wasm'));
  return new Map([
    ['/', { type: 'text/html', bytes: new TextEncoder().encode(page) }],
    ['/bundle.js', { type: 'text/javascript', bytes: await bundled(folder, path.join(folder, 'suites.ts'), false) }],
    ['/engine.wasm', { type: 'application/wasm', bytes: wasm }],
    ...(vectors === undefined ? [] : [['/cctv-ed25519.json', { type: 'application/json', bytes: vectors }] as const]),
  ]);
}

/** Runs the suites in a browser. @returns what it reported; what failed is written. */
async function runSuites(browser: Browser, files: Files, vectors: Uint8Array | undefined): Promise<Report> {
  const report = (await runPage(browser, files)) as Report;
  for (const { name, why } of report.failures) {
    console.log(`FAILED  ${browser.name}: ${name}\n${why.replaceAll(/^/gm, '    ')}`);
  }
  const ours = [1, 2, 3].map((i) => peerIdOfKey(testKey(i).publicKey));
  if (report.ids.join() !== ours.join()) {
    throw new Error(`${browser.name} makes other PeerIDs: ${report.ids.join()} instead of ${ours.join()}`);
  }
  if (
    vectors !== undefined &&
    report.verdicts !== cctvVerdicts(JSON.parse(new TextDecoder().decode(vectors)) as readonly CctvVector[])
  ) {
    throw new Error(`${browser.name} judges public Ed25519 vectors otherwise than Node`);
  }
  return report;
}

const folder = mkdtempSync(path.join(tmpdir(), 'shoal-browser-'));
try {
  await build();
  installTarball(pack(folder), folder);
  for (const [what, program] of Object.entries(PROGRAMS)) {
    const entry = path.join(folder, 'program.js');
    writeFileSync(entry, program);
    const bytes = await bundled(folder, entry, true);
    console.log(`${what.padEnd(24)} ${(bytes.length / 1024).toFixed(0).padStart(5)} KiB minified`);
  }
  const vectors = vectorsOf('cctv-ed25519.json');
  const files = await pageFiles(folder, vectors);
  const skipped = vectors === undefined ? ['public Ed25519 vectors: SHOAL_VECTORS names no folder with them'] : [];
  let [passed, failed] = [0, 0];
  for (const browser of findBrowsers()) {
    if (browser.path === undefined) {
      skipped.push(`suites in ${browser.name}: it is not installed; ${browser.variable} can name it`);
      continue;
    }
    const report = await runSuites(browser, files, vectors);
    console.log(`${browser.name.padEnd(24)} ${String(report.passed).padStart(5)} passed`);
    passed += report.passed;
    failed += report.failures.length;
    if (report.passed === 0) throw new Error(`${browser.name} ran no test`);
    skipped.push(...report.skipped.map((name) => `in ${browser.name}: ${name}`));
  }
  if (skipped.length > 0) console.log(`\nSkipped:\n${skipped.map((line) => `  ${line}`).join('\n')}`);
  console.log(`\n${passed} passed, ${failed} failed, ${skipped.length} skipped`);
  if (failed > 0) process.exitCode = 1;
} catch (error) {
  console.log(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
