/**
 * The package in a browser: `npm run test:browser`.
 *
 * Packs the tarball, installs it in an empty folder, bundles core, memory, p2pke, quic and their suites with esbuild,
 * runs them in headless Chromium, and says how large the bundles are. Without a Chromium it says so, and bundles only.
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
import { findChromium, runPage } from './chromium.ts';

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

async function runSuites(folder: string, chromium: string): Promise<void> {
  const suites = path.join(folder, 'suites.ts');
  for (const name of ['suites.ts', 'cctv.ts']) {
    writeFileSync(path.join(folder, name), readFileSync(path.join(root, 'test', 'browser', name)));
  }
  const vectors = vectorsOf('cctv-ed25519.json');
  const wasm = readFileSync(path.join(root, 'dist', 'quic', 'engine.wasm'));
  const page =
    '<!doctype html><meta charset="utf-8"><title>shoal</title><script type="module" src="/bundle.js"></script>';
  const files = new Map([
    ['/', { type: 'text/html', bytes: new TextEncoder().encode(page) }],
    ['/bundle.js', { type: 'text/javascript', bytes: await bundled(folder, suites, false) }],
    ['/engine.wasm', { type: 'application/wasm', bytes: wasm }],
    ...(vectors === undefined ? [] : [['/cctv-ed25519.json', { type: 'application/json', bytes: vectors }] as const]),
  ]);
  const { passed, skipped, failures, ids, verdicts } = (await runPage(chromium, files)) as Report;
  for (const { name, why } of failures) console.log(`FAILED  ${name}\n${why.replaceAll(/^/gm, '    ')}`);
  const ours = [1, 2, 3].map((i) => peerIdOfKey(testKey(i).publicKey));
  if (ids.join() !== ours.join())
    throw new Error(`The browser makes other PeerIDs: ${ids.join()} instead of ${ours.join()}`);
  if (vectors === undefined) {
    console.log(
      'Skipped:\n  public Ed25519 vectors in Chromium: SHOAL_VECTORS names no folder with the public vectors',
    );
  } else if (verdicts !== cctvVerdicts(JSON.parse(new TextDecoder().decode(vectors)) as readonly CctvVector[])) {
    throw new Error('The browser judges public Ed25519 vectors otherwise than Node');
  }
  if (skipped.length > 0) console.log(`\nSkipped:\n${skipped.map((name) => `  in Chromium: ${name}`).join('\n')}`);
  console.log(`\n${passed} passed, ${failures.length} failed, ${skipped.length} skipped`);
  if (failures.length > 0 || passed === 0) process.exitCode = 1;
}

const folder = mkdtempSync(path.join(tmpdir(), 'shoal-browser-'));
try {
  build();
  installTarball(pack(folder), folder);
  for (const [what, program] of Object.entries(PROGRAMS)) {
    const entry = path.join(folder, 'program.js');
    writeFileSync(entry, program);
    const bytes = await bundled(folder, entry, true);
    console.log(`${what.padEnd(24)} ${(bytes.length / 1024).toFixed(0).padStart(5)} KiB minified`);
  }
  const chromium = findChromium();
  if (chromium === undefined) {
    console.log(
      'Skipped:\n  suites in Chromium: there is none here; set CHROMIUM to its path\n\n0 passed, 0 failed, 1 skipped',
    );
  } else await runSuites(folder, chromium);
} catch (error) {
  console.log(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
