import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';

const root = path.join(import.meta.dirname, '..', '..');

const IMPORTS = 'eslint(no-restricted-imports)';
const GLOBALS = 'eslint(no-restricted-globals)';
const PROPERTIES = 'eslint(no-restricted-properties)';

/** The folders of `src/` from the bottom up, and what each may import; `testing/` stands beside them. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  base: [],
  crypto: ['base'],
  core: ['base'],
  identity: ['base', 'crypto', 'core'],
  protocols: ['base', 'crypto', 'core', 'identity'],
  runtime: ['base', 'core'],
  'swarm-kit': ['base', 'core', 'runtime'],
  net: ['base', 'core', 'protocols', 'runtime', 'swarm-kit'],
  sessions: ['base', 'core', 'identity', 'protocols', 'runtime', 'swarm-kit'],
  quic: ['base', 'crypto', 'core', 'identity', 'protocols', 'runtime', 'swarm-kit', 'net', 'sessions'],
  node: ['base', 'crypto', 'core', 'identity', 'protocols', 'runtime', 'swarm-kit', 'net', 'sessions'],
  swarms: [
    'base',
    'crypto',
    'core',
    'identity',
    'protocols',
    'runtime',
    'swarm-kit',
    'net',
    'sessions',
    'quic',
    'node',
  ],
  wrappers: ['base', 'crypto', 'core', 'identity', 'protocols', 'runtime', 'swarm-kit', 'sessions'],
  endpoint: ['base', 'crypto', 'core', 'identity', 'protocols', 'runtime', 'swarm-kit', 'net', 'sessions', 'quic'],
  metrics: ['base', 'core', 'runtime'],
  cells: ['base', 'crypto', 'core', 'identity', 'protocols', 'runtime', 'net'],
  discovery: [
    'base',
    'crypto',
    'core',
    'identity',
    'protocols',
    'runtime',
    'swarm-kit',
    'net',
    'sessions',
    'metrics',
    'cells',
  ],
  overlay: [
    'base',
    'crypto',
    'core',
    'identity',
    'protocols',
    'runtime',
    'swarm-kit',
    'net',
    'sessions',
    'metrics',
    'cells',
    'discovery',
  ],
  nat: [
    'base',
    'crypto',
    'core',
    'identity',
    'protocols',
    'runtime',
    'swarm-kit',
    'net',
    'sessions',
    'quic',
    'wrappers',
    'swarms',
  ],
  peers: [
    'base',
    'crypto',
    'core',
    'identity',
    'protocols',
    'runtime',
    'swarm-kit',
    'net',
    'sessions',
    'quic',
    'node',
    'swarms',
    'wrappers',
    'endpoint',
    'metrics',
    'cells',
    'discovery',
    'overlay',
    'nat',
  ],
};

interface Planted {
  readonly file: string;
  readonly source: string;
  /** The one rule that has to fire, or undefined for a file without fault. */
  readonly rule: string | undefined;
}

const planted: Planted[] = [];

/** What stands for a planted file in a failure. */
const key = ({ file, source }: Planted): string => `${file}: ${source.slice(0, 80)}`;

/** Files for one rule: each source gets a file of its own in `folder`. */
function plant(folder: string, rule: string | undefined, ...sources: string[]): void {
  for (const source of sources) {
    const name = `planted-${planted.length}${folder.startsWith('test') ? '.test' : ''}.ts`;
    planted.push({ file: `${folder}/${name}`, source: `${source}\n`, rule });
  }
}

const importing = (specifier: string): string => `export { thing } from '${specifier}';`;

for (const [name, may] of Object.entries(MAY_IMPORT)) {
  for (const other of Object.keys(MAY_IMPORT)) {
    if (other === name) continue;
    const rule = may.includes(other) ? undefined : IMPORTS;
    plant(`src/${name}`, rule, importing(`../${other}/thing.ts`));
    plant(`src/${name}/part`, rule, importing(`../../${other}/thing.ts`));
  }
  plant(`src/${name}`, IMPORTS, importing('../testing/thing.ts'), importing('shoal'), importing('shoal/udp'));
  // Ways around: the same folder, spelled differently.
  const up = name === 'testing' ? 'endpoint' : 'testing';
  plant(`src/${name}`, IMPORTS, importing(`./../${up}/thing.ts`), importing(`../${name}/../${up}/thing.ts`));
  plant(`src/${name}`, IMPORTS, importing(`../../src/${up}/thing.ts`));
  if (name !== 'runtime') plant(`src/${name}`, GLOBALS, 'export const now: number = Date.now();');
  if (name !== 'runtime') plant(`src/${name}`, GLOBALS, 'setTimeout(String, 1);');
  if (name !== 'net') plant(`src/${name}`, IMPORTS, importing('node:dgram'), importing('node:net'), importing('tls'));
  plant(`src/${name}`, PROPERTIES, 'export const draw: number = Math.random();');
  plant(`src/${name}`, PROPERTIES, 'export const signal: AbortSignal = AbortSignal.timeout(1);');
}
plant('src/runtime', undefined, 'export const now: number = Date.now();', 'setTimeout(String, 1);');
plant('src/testing', IMPORTS, importing('../endpoint/thing.ts'), importing('../peers/thing.ts'), importing('node:net'));
plant('src/testing', undefined, importing('../swarms/thing.ts'), importing('../core/thing.ts'));

for (const folder of [
  'base',
  'core',
  'identity',
  'protocols',
  'protocols/part',
  'runtime',
  'swarm-kit',
  'sessions',
  'quic',
  'swarms/memory',
  'swarms/p2pke',
  'cells',
  'swarms/quic',
  'wrappers',
  'endpoint',
  'discovery',
]) {
  plant(`src/${folder}`, IMPORTS, importing('node:fs'), importing('@noble/hashes/sha2.js'));
}
for (const folder of ['crypto', 'net', 'swarms/tcp', 'node']) plant(`src/${folder}`, undefined, importing('node:fs'));
plant('src/net', undefined, importing('node:dgram'), importing('node:net'), importing('node:tls'));
plant('src/net', IMPORTS, importing('node:timers/promises'));
plant('src/swarms/tcp', undefined, importing('../../node/thing.ts'), importing('../quic/thing.ts'));
plant('src/swarms/quic', IMPORTS, importing('../../wrappers/thing.ts'));

for (const folder of ['base', 'core', 'protocols', 'protocols/part']) {
  plant(
    `src/${folder}`,
    GLOBALS,
    'export const at: number = performance.now();',
    'setInterval(String, 1);',
    'setImmediate(String);',
    'queueMicrotask(String);',
    'export const id: string = crypto.randomUUID();',
    'export const id: number = process.pid;',
    'export const page: Promise<Response> = fetch("");',
    'export const now: number = globalThis.Date.now();',
  );
}

plant('src/core', 'eslint(no-console)', 'console.log(1);');
plant('apps/cli/src', undefined, 'console.log(1);', importing('shoal/udp'));
plant('apps/cli/src', IMPORTS, importing('../../../src/core/thing.ts'));
plant('examples', IMPORTS, importing('../src/core/thing.ts'));

plant('test/core', GLOBALS, 'setTimeout(String, 1);', 'setInterval(String, 1);');
plant('test/core', IMPORTS, importing('node:timers/promises'), importing('timers'), importing('fast-check'));
plant('test/core', PROPERTIES, 'AbortSignal.timeout(1).throwIfAborted();');
plant('test/real-network', undefined, 'setTimeout(String, 1);', importing('node:timers/promises'));

plant('src/node', 'typescript(no-floating-promises)', 'Promise.resolve(1);');
plant('test/core', 'typescript(no-floating-promises)', 'Promise.resolve(1);');
plant('test/core', undefined, "import { test } from 'node:test';\n\ntest('a', async () => {});");
plant('src/node', 'typescript(no-misused-promises)', 'export const f = (): void => [1].forEach(async () => {});');
plant('src/node', 'typescript(no-explicit-any)', 'export const anything = (value: any): unknown => value;');
plant('src/node', 'typescript(consistent-type-imports)', "export type Thing = import('./planted-0.ts').Thing;");
plant(
  'src/node',
  'typescript(switch-exhaustiveness-check)',
  "export function f(k: 'a' | 'b'): number {\n  switch (k) {\n    case 'a':\n      return 1;\n  }\n  return 0;\n}",
);
plant(
  'src/node',
  'eslint(max-lines)',
  Array.from({ length: 401 }, (_, i) => `export const line${i} = ${i};`).join('\n'),
);
// The files of portable folders that use the system.
for (const file of [
  'cells/file',
  'cells/redis',
  'discovery/cache-file',
  'identity/key-files',
  'quic/engine-bytes-node',
]) {
  planted.push({ file: `src/${file}.ts`, source: `${importing('node:fs/promises')}\n`, rule: undefined });
}
for (const [file, other] of [
  ['cells/sqlite', 'node:http'],
  ['cells/locked-file', '@redis/client'],
] as const) {
  planted.push({ file: `src/${file}.ts`, source: `${importing(other)}\n`, rule: IMPORTS });
}
planted.push({ file: 'src/node/CamelCase.ts', source: 'export const a = 1;\n', rule: 'unicorn(filename-case)' });
planted.push({
  file: 'src/node/ring-a.ts',
  source: "export { b as a } from './ring-b.ts';\n",
  rule: 'import(no-cycle)',
});
planted.push({
  file: 'src/node/ring-b.ts',
  source: "export { a as b } from './ring-a.ts';\n",
  rule: 'import(no-cycle)',
});
// A ring of types alone counts too.
planted.push({
  file: 'src/node/type-ring-a.ts',
  source: "import type { B } from './type-ring-b.ts';\nexport interface A {\n  readonly b: B;\n}\n",
  rule: 'import(no-cycle)',
});
planted.push({
  file: 'src/node/type-ring-b.ts',
  source: "import type { A } from './type-ring-a.ts';\nexport interface B {\n  readonly a: A;\n}\n",
  rule: 'import(no-cycle)',
});

describe('.oxlintrc.json', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'shoal-lint-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const file of ['.oxlintrc.json', 'tsconfig.json', 'package.json'])
    cpSync(path.join(root, file), path.join(folder, file));
  symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'), 'junction');
  for (const { file, source } of planted) {
    mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    writeFileSync(path.join(folder, file), source);
  }
  const oxlint = path.join(root, 'node_modules', 'oxlint', 'bin', 'oxlint');
  const ran = spawnSync(
    process.execPath,
    [oxlint, '--type-aware', '--format=json', 'src', 'test', 'apps', 'examples'],
    {
      cwd: folder,
      encoding: 'utf8',
      maxBuffer: 64 << 20,
    },
  );
  const { diagnostics } = JSON.parse(ran.stdout) as {
    diagnostics: readonly {
      filename: string;
      code: string;
      severity: string;
    }[];
  };

  for (const [place, files] of Map.groupBy(planted, ({ file }) => path.dirname(file))) {
    it(`finds exactly what is planted in ${place}`, () => {
      const expected = files.map((one) => [key(one), one.rule === undefined ? [] : [one.rule]]);
      const found = files.map((one) => {
        const here = diagnostics.filter(({ filename, severity }) => filename === one.file && severity === 'error');
        return [key(one), [...new Set(here.map(({ code }) => code))]];
      });
      assert.deepEqual(Object.fromEntries(found), Object.fromEntries(expected));
    });
  }

  it('makes the run fail', () => assert.equal(ran.status, 1));
});
