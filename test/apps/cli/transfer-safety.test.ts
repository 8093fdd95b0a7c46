import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { type Ended, assertFails, shoal, startShoal } from './command.ts';

const base = mkdtempSync(path.join(tmpdir(), 'shoal-safety-'));
after(() => rmSync(base, { recursive: true, force: true }));
let folders = 0;
const newFolder = (): string => {
  const made = path.join(base, String(folders++));
  mkdirSync(made);
  return made;
};
const write = (...parts: readonly string[]): string => {
  const file = path.join(...parts);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, 'x');
  return file;
};

/** Serves a path while `use` runs with its ticket. */
async function withTicket(file: string, use: (ticket: string) => Promise<void>): Promise<void> {
  await using sender = startShoal('send', file, '--bind', '127.0.0.1:0');
  const { ticket } = await sender.next('ticket');
  await use(String(ticket));
}
const receiveIn = (cwd: string, ticket: string, ...args: readonly string[]): Promise<Ended> =>
  shoal(['receive', ticket, ...args], '', cwd);

describe('shoal receive asks before it', { concurrency: 2 }, () => {
  it('a hidden name is not written without --out or --yes', async () => {
    const from = newFolder();
    write(from, '.ssh', 'authorized_keys');
    write(from, '.bashrc');
    for (const name of ['.ssh', '.bashrc']) {
      await withTicket(path.join(from, name), async (ticket) => {
        const home = newFolder();
        const why = /Cannot write .*: its name is hidden.*; --out DIR or --yes allows it/;
        assertFails(await receiveIn(home, ticket), 1, why);
        assertFails(await receiveIn(home, ticket, '--force'), 1, why);
        assertFails(await receiveIn(home, ticket, '--json'), 1, why);
        assert.deepEqual(readdirSync(home), []);
        const said = await receiveIn(home, ticket, '--yes');
        assert.equal(said.code, 0, said.stderr);
        assert.deepEqual(readdirSync(home), [name]);
        const named = await receiveIn(home, ticket, '--out', 'sub');
        assert.equal(named.code, 0, named.stderr);
        assert.deepEqual(readdirSync(path.join(home, 'sub')), [name]);
      });
    }
  });

  it('a folder is not replaced without --out or --yes, --force alone does not do', async () => {
    const from = newFolder();
    write(from, 'photos', 'new');
    await withTicket(path.join(from, 'photos'), async (ticket) => {
      const home = newFolder();
      write(home, 'photos', 'old');
      assertFails(await receiveIn(home, ticket), 1, /photos: it exists; --force replaces it/);
      assertFails(await receiveIn(home, ticket, '--yes'), 1, /photos: it exists; --force replaces it/);
      assertFails(await receiveIn(home, ticket, '--force'), 1, /all in it would be replaced; --out DIR or --yes/);
      assert.deepEqual(readdirSync(path.join(home, 'photos')), ['old']);
      const said = await receiveIn(home, ticket, '--force', '--yes');
      assert.equal(said.code, 0, said.stderr);
      assert.deepEqual(readdirSync(path.join(home, 'photos')), ['new']);
    });
  });

  it('an ordinary name is written without a question', async () => {
    const from = newFolder();
    await withTicket(write(from, 'report'), async (ticket) => {
      const home = newFolder();
      const received = await receiveIn(home, ticket);
      assert.equal(received.code, 0, received.stderr);
      assert.equal(readFileSync(path.join(home, 'report'), 'utf8'), 'x');
      const again = await receiveIn(home, ticket, '--force');
      assert.equal(again.code, 0, again.stderr);
    });
  });
});

/** Runs a command in a shell that sets it up; `"$@"` is the command. */
function shoalIn(setUp: string, ...args: readonly string[]): SpawnSyncReturns<string> {
  const main = path.join(import.meta.dirname, '..', '..', '..', 'apps', 'cli', 'src', 'main.ts');
  const command = [process.execPath, '--conditions=shoal-source', main, ...args];
  return spawnSync('bash', ['-c', setUp, 'bash', ...command], { encoding: 'utf8' });
}

describe('shoal receive on a disk that is full', { skip: process.platform === 'win32' }, () => {
  it('fails with exit code 1 and keeps what has come; the next call goes on', async () => {
    const from = newFolder();
    const file = path.join(from, 'large');
    writeFileSync(file, randomBytes(2 ** 20));
    await withTicket(file, async (ticket) => {
      const to = newFolder();
      const full = shoalIn('ulimit -f 600; exec "$@"', 'receive', ticket, '--out', to);
      assert.equal(full.status, 1, full.stderr);
      assert.equal(full.stdout, '');
      assert.match(
        full.stderr,
        /^shoal: Cannot receive: EFBIG[^\n]*; what has come is kept, the same command goes on [^\n]*\n$/,
      );
      assert.equal(existsSync(path.join(to, 'large')), false);
      const received = await shoal(['receive', ticket, '--out', to, '--json']);
      assert.equal(received.code, 0, received.stderr);
      assert.equal(received.events.at(-1)!['fetchedBytes'], 2 ** 20 - 600 * 1024);
      assert.deepEqual(readFileSync(path.join(to, 'large')), readFileSync(file));
      assert.deepEqual(readdirSync(to), ['large']);
    });
  });
});

describe('shoal receive and send whose output is lost', { skip: process.platform !== 'linux' }, () => {
  it('say so with exit code 1; a reader that has gone is no mistake', async () => {
    await withTicket(write(newFolder(), 'x'), async (ticket) => {
      for (const [setUp, code] of [
        ['exec "$@" >/dev/full', 1],
        ['exec "$@" 2>/dev/full', 1],
        ['exec "$@" 2>&-', 0],
        ['exec "$@" > >(true)', 0],
      ] as const) {
        const to = newFolder();
        const { status, stderr } = shoalIn(setUp, 'receive', ticket, '--out', to, '--verbose');
        assert.equal(status, code, `${setUp}: ${stderr}`);
        assert.deepEqual(readdirSync(to), ['x'], setUp);
        if (setUp.includes('>/dev/full') && !setUp.includes('2>'))
          assert.match(stderr, /^shoal: Cannot write standard output: ENOSPC/m);
      }
    });
    const { status, stderr } = shoalIn('exec "$@" >/dev/full', 'send', write(newFolder(), 'x'));
    assert.equal(status, 1);
    assert.match(stderr, /^shoal: Cannot write standard output: ENOSPC/m);
  });
});

describe('shoal send', { concurrency: 2 }, () => {
  it('prints no ticket for a name that nobody can take', { skip: process.platform === 'win32' }, async () => {
    for (const name of ['shot 10:30.png', 'aux.c', 'a\\b', 'a\nb', 'con ']) {
      const ended = await shoal(['send', write(newFolder(), name)]);
      assertFails(ended, 1, /^shoal: Cannot send .*; rename it$/m);
      assert.equal(ended.stdout, '');
    }
    assertFails(await shoal(['send', '/proc/self/status']), 1, /it changes while it is read/);
  });

  it('notes what it leaves out, fifty at most, and counts it', { skip: process.platform === 'win32' }, async () => {
    const whole = newFolder();
    write(whole, 'good');
    for (let i = 0; i < 60; i++) write(whole, `${i}:\u202e\u001b`);
    await using sender = startShoal('send', whole, '--bind', '127.0.0.1:0');
    const { files, leftOut } = await sender.next('ticket');
    assert.deepEqual([files, leftOut], [1, 60]);
    const { stderr } = await sender.interrupt();
    assert.equal(stderr.split('\n').filter((line) => line.startsWith('shoal: left out /')).length, 50);
    assert.match(stderr, /^shoal: left out 10 more$/m);
    assert(!stderr.includes('\u202e') && !stderr.includes('\u001b'));
  });

  it('sends a name of 255 bytes', async () => {
    const name = 'n'.repeat(255);
    await withTicket(write(newFolder(), name), async (ticket) => {
      const to = newFolder();
      const received = await receiveIn(to, ticket);
      assert.equal(received.code, 0, received.stderr);
      assert(existsSync(path.join(to, name)));
    });
  });
});
