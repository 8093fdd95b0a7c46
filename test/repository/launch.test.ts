import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { isInstalled } from '../../tools/install.mjs';

const launcher = path.join(import.meta.dirname, '..', '..', 'tools', 'launch.mjs');
const made = mkdtempSync(path.join(tmpdir(), 'shoal-launch-'));
after(() => rmSync(made, { recursive: true, force: true }));

function program(name: string, source: string): string {
  const file = path.join(made, name);
  writeFileSync(file, source);
  return file;
}

describe('launch', () => {
  it('hands through arguments, runs TypeScript and sets the condition', () => {
    const file = program(
      'print.ts',
      'const all: string[] = [...process.execArgv, ...process.argv.slice(2)]; console.log(all.join());',
    );
    const { stdout, status } = spawnSync(process.execPath, [launcher, file, 'a b', '--c'], { encoding: 'utf8' });
    assert.equal(stdout, '--conditions=shoal-source,a b,--c\n');
    assert.equal(status, 0);
  });

  it('hands through the exit code', () => {
    const { status } = spawnSync(process.execPath, [launcher, program('exit.ts', 'process.exit(7);')]);
    assert.equal(status, 7);
  });

  it('ends by the signal that ended the program', () => {
    const file = program('end.ts', "process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000);");
    assert.equal(spawnSync(process.execPath, [launcher, file]).signal, 'SIGTERM');
  });

  it('hands through Ctrl-C, and waits for the program to clean up', async () => {
    const file = program(
      'clean.ts',
      "process.once('SIGINT', () => { console.log('cleaned'); clearInterval(alive); process.exitCode = 3; });\n" +
        "const alive = setInterval(() => {}, 1000);\nconsole.log('ready');",
    );
    const child = spawn(process.execPath, [launcher, file], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    for await (const chunk of child.stdout) {
      output += String(chunk);
      if (output === 'ready\n') child.kill('SIGINT');
    }
    if (child.exitCode === null) await once(child, 'exit');
    assert.equal(output, 'ready\ncleaned\n');
    assert.equal(child.exitCode, 3);
  });

  it('says in one line what it cannot do', () => {
    const without = spawnSync(process.execPath, [launcher], { encoding: 'utf8' });
    assert.equal(without.stderr, 'Cannot launch: expected a file, got none\n');
    assert.equal(without.status, 1);
    const unknown = spawnSync(process.execPath, [launcher, '--node=3', 'a.ts'], { encoding: 'utf8' });
    assert.match(unknown.stderr, /^Cannot get Node 3: .*\n$/);
    assert.equal(unknown.status, 1);
  });
});

const lock = (packages: object): string => JSON.stringify({ packages });

describe('isInstalled', () => {
  const wanted = {
    '': { version: '1.0.0' },
    'node_modules/a': { version: '1.0.0', integrity: 'x' },
    'node_modules/other-platform': { version: '1.0.0', optional: true },
  };
  const folder = (name: string, present?: object): string => {
    const here = path.join(made, name);
    mkdirSync(path.join(here, 'node_modules'), { recursive: true });
    writeFileSync(path.join(here, 'package-lock.json'), lock(wanted));
    if (present !== undefined) writeFileSync(path.join(here, 'node_modules', '.package-lock.json'), lock(present));
    return here;
  };

  it('is true for what the lockfile says, without the optional packages of other platforms', () => {
    assert.equal(isInstalled(folder('same', { 'node_modules/a': wanted['node_modules/a'] })), true);
  });

  it('is false without packages, for another version, other contents, and a missing package', () => {
    assert.equal(isInstalled(folder('none')), false);
    assert.equal(isInstalled(folder('version', { 'node_modules/a': { version: '0.9.0', integrity: 'x' } })), false);
    assert.equal(isInstalled(folder('contents', { 'node_modules/a': { version: '1.0.0', integrity: 'y' } })), false);
    assert.equal(isInstalled(folder('missing', {})), false);
  });

  it('is false when the list of packages is cut off', () => {
    const here = folder('cut', {});
    writeFileSync(path.join(here, 'node_modules', '.package-lock.json'), '{ "packages": {');
    assert.equal(isInstalled(here), false);
    cpSync(path.join(here, 'package-lock.json'), path.join(here, 'node_modules', '.package-lock.json'));
    assert.equal(isInstalled(here), true);
  });
});
