/** A cache in a file: two processes, kill -9 at any point, damage, a full disk. */

import assert from 'node:assert/strict';
import { spawn, spawnSync, type SpawnSyncReturns } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { open, rename, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { decodeText, encodeText } from '../../src/base/bytes.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import type { FileChanges } from '../../src/cells/locked-file.ts';
import { cacheFile } from '../../src/discovery/cache-file.ts';
import { decodeCache } from '../../src/discovery/cache-format.ts';
import { openPeerCache, type PeerCache, type PeerCacheFault } from '../../src/discovery/index.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { testKey } from '../../src/testing/test-key.ts';

const idOf = (i: number): PeerId => peerIdOfKey(testKey(i).publicKey);
const root = path.join(import.meta.dirname, '..', '..');
const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'shoal-cache-')));
after(() => rmSync(folder, { recursive: true, force: true }));

let next = 0;
/** A file in a folder of its own, that does not exist yet. */
const fresh = (): string => path.join(folder, String(next++), 'peers.json');
const namesBeside = (file: string): string[] => readdirSync(path.dirname(file)).toSorted();

async function openFile(file: string, faults: PeerCacheFault[] = [], networkName = 'app'): Promise<PeerCache> {
  return openPeerCache({ path: file, networkName, onFault: (fault) => void faults.push(fault) });
}

const reach = (cache: PeerCache, ...peers: readonly number[]): void => {
  for (const i of peers) cache.reached({ id: idOf(i), addr: `${idOf(i)}@50.0.${i}.1:4000`, proof: 'dialled' });
};

/** Saves peers in a file, and ends. */
async function saved(file: string, ...peers: readonly number[]): Promise<void> {
  const cache = await openFile(file);
  reach(cache, ...peers);
  await cache.close();
}

async function peersIn(file: string, networkName = 'app'): Promise<PeerId[]> {
  const cache = await openFile(file, [], networkName);
  const ids = cache.peers.map(({ id }) => id).toSorted();
  await cache.close();
  return ids;
}

/** What a child process runs: it has the names below, and `args`. */
const CHILD = (body: string): string => `
  import { cacheFile } from ${JSON.stringify(path.join(root, 'src/discovery/cache-file.ts'))};
  import { open, rename } from 'node:fs/promises';
  const [file, ...args] = process.argv.slice(1);
  const die = () => process.kill(process.pid, 'SIGKILL');
  const forever = () => new Promise(() => setInterval(() => {}, 1000));
  ${body}`;
const ARGS = ['--conditions=shoal-source', '--input-type=module-typescript', '-e'];

const run = (body: string, ...args: readonly string[]): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [...ARGS, CHILD(body), ...args], { encoding: 'utf8' });

describe('a peer cache in a file', () => {
  it('is there at the next start, for its owner only, with nothing beside it', async () => {
    const file = fresh();
    await saved(file, 1, 2);
    assert.deepEqual(namesBeside(file), ['peers.json']);
    if (process.platform !== 'win32') assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.deepEqual(await peersIn(file), [idOf(1), idOf(2)].toSorted());
  });

  it('replaces the file that a link leads to, and not the link', { skip: process.platform === 'win32' }, async () => {
    const file = fresh();
    const link = `${file}.link`;
    await saved(file, 1);
    symlinkSync(file, link);
    await saved(link, 2);
    assert.deepEqual(await peersIn(file), [idOf(1), idOf(2)].toSorted());
    assert.ok(namesBeside(file).includes('peers.json.link'));
  });

  it('cut at any byte is kept aside under one of four names, and the cache goes on', async () => {
    const file = fresh();
    await saved(file, 1, 2, 3);
    const whole = readFileSync(file);
    const lengths = [0, 1, 2, ...Array.from({ length: 12 }, (_, i) => Math.floor(((i + 1) * whole.length) / 13))];
    for (const length of lengths) {
      writeFileSync(file, whole);
      truncateSync(file, length);
      const faults: PeerCacheFault[] = [];
      const cache = await openFile(file, faults);
      assert.deepEqual([cache.peers, faults.map(({ code }) => code)], [[], ['corrupt']], `${length} bytes`);
      assert.equal(statSync(faults[0]!.keptAs!).size, length);
      reach(cache, 4);
      assert.equal(await cache.save(), true);
      await cache.close();
      assert.deepEqual(await peersIn(file), [idOf(4)]);
    }
    assert.deepEqual(namesBeside(file), ['peers.json', ...[1, 2, 3, 4].map((i) => `peers.json.corrupt-${i}`)]);
  });

  it('that is damaged while it is open is kept aside before it is replaced', async () => {
    const file = fresh();
    const faults: PeerCacheFault[] = [];
    await using cache = await openFile(file, faults);
    reach(cache, 1);
    await cache.save();
    writeFileSync(file, 'something else');
    reach(cache, 2);
    assert.equal(await cache.save(), true);
    assert.equal(readFileSync(`${file}.corrupt-1`, 'utf8'), 'something else');
    assert.deepEqual(
      faults.map(({ code, keptAs }) => [code, keptAs]),
      [['corrupt', `${file}.corrupt-1`]],
    );
  });

  it('that is far too long, a folder, a pipe, or not to be read, is a fault, and the program starts', async () => {
    const long = fresh();
    mkdirSync(path.dirname(long));
    writeFileSync(long, '');
    truncateSync(long, 2 ** 33);
    const faults: PeerCacheFault[] = [];
    await (await openFile(long, faults)).close();
    const isFolder = fresh();
    mkdirSync(isFolder, { recursive: true });
    await (await openFile(isFolder, faults)).close();
    assert.deepEqual(
      faults.map(({ code }) => code),
      ['corrupt', 'unreadable'],
    );
    if (process.platform === 'win32') return;
    const pipe = fresh();
    mkdirSync(path.dirname(pipe));
    spawnSync('mkfifo', [pipe]);
    await (await openFile(pipe, faults)).close();
    assert.equal(faults.at(-1)?.code, 'unreadable');
  });

  it('in a folder that cannot be made is kept in memory', async () => {
    const file = fresh();
    await saved(file, 1);
    const faults: PeerCacheFault[] = [];
    const cache = await openFile(path.join(file, 'below', 'peers.json'), faults);
    reach(cache, 1);
    assert.equal(await cache.save(), false);
    assert.equal(cache.peers.length, 1);
    assert.ok(faults.some(({ code }) => code === 'unwritable'));
    await cache.close();
  });
});

describe('two caches on one file', () => {
  it('of one network: the second reads only, says so, and goes on to save when the first has ended', async () => {
    const file = fresh();
    await saved(file, 1);
    const first = await openFile(file);
    const faults: PeerCacheFault[] = [];
    const second = await openFile(file, faults);
    assert.deepEqual([first.isReadOnly, second.isReadOnly, faults.map(({ code }) => code)], [false, true, ['in_use']]);
    assert.equal(second.peers.length, 1);
    reach(second, 2);
    assert.equal(await second.save(), false);
    reach(first, 3);
    await first.close();
    assert.equal(await second.save(), true);
    assert.equal(second.isReadOnly, false);
    assert.deepEqual(second.peers.map(({ id }) => id).toSorted(), [idOf(1), idOf(2), idOf(3)].toSorted());
    await second.close();
    assert.deepEqual(await peersIn(file), [idOf(1), idOf(2), idOf(3)].toSorted());
    assert.deepEqual(namesBeside(file), ['peers.json']);
  });

  it('of two networks both save, and never see the other peers', async () => {
    const file = fresh();
    const [blue, red] = [await openFile(file, [], 'blue'), await openFile(file, [], 'red')];
    for (let i = 0; i < 10; i++) {
      reach(blue, 10 + i);
      reach(red, 50 + i);
      assert.deepEqual(await Promise.all([blue.save(), red.save()]), [true, true]);
    }
    await Promise.all([blue.close(), red.close()]);
    assert.deepEqual(await peersIn(file, 'blue'), Array.from({ length: 10 }, (_, i) => idOf(10 + i)).toSorted());
    assert.deepEqual(await peersIn(file, 'red'), Array.from({ length: 10 }, (_, i) => idOf(50 + i)).toSorted());
  });

  it('in two processes: the second reads only until the first is killed, and then takes its lock over', async () => {
    const file = fresh();
    const child = spawn(process.execPath, [
      ...ARGS,
      CHILD(`console.log(await cacheFile(file).claim('app')); await forever();`),
      file,
    ]);
    const claimed = await new Promise<string>((resolve) => {
      child.stdout.once('data', (chunk: Buffer) => resolve(String(chunk).trim()));
    });
    assert.equal(claimed, 'true');
    await using cache = await openFile(file);
    assert.equal(cache.isReadOnly, true);
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    reach(cache, 1);
    assert.equal(await cache.save(), true);
    assert.equal(cache.isReadOnly, false);
  });

  it('takes over a lock that is empty, of another machine, or of an earlier process with the same PID', async () => {
    for (const mark of [
      '',
      'nonsense',
      '1 2 another-machine\n',
      `${process.pid} 1 ${(await import('node:os')).hostname()}\n`,
    ]) {
      const file = fresh();
      const probe = await openFile(file);
      const lock = namesBeside(file).find((name) => name.endsWith('.lock'))!;
      await probe.close();
      writeFileSync(path.join(path.dirname(file), lock), mark);
      writeFileSync(`${file}.lock`, mark);
      await using cache = await openFile(file);
      reach(cache, 1);
      assert.deepEqual(
        [cache.isReadOnly, await cache.save()],
        [process.platform !== 'linux' && mark.startsWith(String(process.pid)), true],
        mark,
      );
    }
  });
});

describe('kill -9 while a cache is saved', () => {
  /** The child replaces OLD by NEW, and dies where `changes` says. */
  const DYING = `
    const wrap = (handle, at) => Object.assign(Object.create(handle), {
      writeFile: async (bytes) => {
        if (at.startsWith('byte ')) {
          await handle.write(typeof bytes === 'string' ? Buffer.from(bytes) : bytes, 0, Number(at.slice(5)));
          die();
        }
        await handle.writeFile(bytes);
        if (at === 'written') die();
      },
      sync: async () => { await handle.sync(); if (at === 'synced') die(); },
      close: () => handle.close(),
    });
    let opened = 0;
    const [at, which] = args;
    const backend = cacheFile(file, {
      open: async (...rest) => {
        const handle = await open(...rest);
        return String(opened++) === which ? wrap(handle, at) : handle;
      },
      rename: async (from, to) => {
        if (at === 'before rename') die();
        await rename(from, to);
        if (at === 'after rename') die();
      },
    });
    await backend.update(() => new TextEncoder().encode('NEW'.repeat(1000)));
    console.log('done');`;

  for (const [at, which] of [
    ...['byte 0', 'byte 1', 'byte 1500', 'byte 2999', 'written', 'synced'].map((each) => [each, '1'] as const),
    ['byte 3', '0'],
    ['written', '0'],
    ['before rename', '-'],
    ['after rename', '-'],
  ] as const) {
    it(`leaves the old file or the new one, and the next process saves: ${at} of ${which === '0' ? 'the lock' : 'the file'}`, async () => {
      const file = fresh();
      mkdirSync(path.dirname(file));
      writeFileSync(file, 'OLD');
      const { signal, stdout, stderr } = run(DYING, file, at, which);
      assert.deepEqual([signal, stdout], ['SIGKILL', ''], stderr);
      assert.equal(readFileSync(file, 'utf8'), at === 'after rename' ? 'NEW'.repeat(1000) : 'OLD');
      writeFileSync(file, '{"format":"shoal peer cache","version":1,"networks":[]}');
      await saved(file, 1);
      assert.deepEqual(await peersIn(file), [idOf(1)]);
      assert.deepEqual(namesBeside(file), ['peers.json'], 'what the killed process left is removed');
    });
  }

  it('at random moments, many times, loses no peer that was said to be saved', async () => {
    const file = fresh();
    await saved(file, 0);
    const body = `
      const { openPeerCache } = await import(${JSON.stringify(path.join(root, 'src/discovery/index.ts'))});
      const { peerIdOfKey } = await import(${JSON.stringify(path.join(root, 'src/identity/keys.ts'))});
      const { testKey } = await import(${JSON.stringify(path.join(root, 'src/testing/test-key.ts'))});
      const cache = await openPeerCache({ path: file, networkName: 'app' });
      for (let i = Number(args[0]); ; i++) {
        const id = peerIdOfKey(testKey(i).publicKey);
        cache.reached({ id, addr: id + '@50.' + (i >> 8) + '.' + (i & 255) + '.1:4000', proof: 'dialled' });
        if (!(await cache.save())) process.exit(3);
        console.log(i);
      }`;
    let first = 1;
    for (let round = 0; round < 4; round++) {
      const child = spawn(process.execPath, [...ARGS, CHILD(body), file, String(first)]);
      let heard = '';
      const ended = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)));
      child.stdout.on('data', (chunk: Buffer) => {
        heard += String(chunk);
        if (heard.split('\n').length > 3 + 2 * round) child.kill('SIGKILL');
      });
      assert.equal(await ended, 'SIGKILL');
      const told = heard.split('\n').slice(0, -1).map(Number);
      const ids = await peersIn(file);
      for (const i of told) assert.ok(ids.includes(idOf(i)), `peer ${i} of round ${round}`);
      first = told.at(-1)! + 2;
    }
    // The last one may have been killed while it held the lock: the next process takes it over.
    await saved(file, first);
    assert.deepEqual(namesBeside(file), ['peers.json']);
  });
});

describe('a full disk', () => {
  /** Fails with ENOSPC in the place that it is told. */
  const full = (place: string): FileChanges => {
    const fail = (): never => {
      throw Object.assign(new Error(`ENOSPC at ${place}`), { code: 'ENOSPC' });
    };
    const wrap = (handle: FileHandle, name: string): FileHandle =>
      Object.assign(Object.create(handle) as FileHandle, {
        writeFile: async (bytes: Uint8Array) => {
          if (place !== `write ${name}`) return handle.writeFile(bytes);
          await handle.write(encodeText('half'));
          return fail();
        },
        sync: () =>
          place === `sync ${name}`
            ? Promise.reject(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' }))
            : handle.sync(),
        close: () => handle.close(),
      });
    return {
      open: async (...rest) => {
        const name = String(rest[0]).includes('.lock.') ? 'lock' : 'file';
        if (place === `open ${name}`) fail();
        return wrap(await open(...rest), name);
      },
      rename: (...rest) => (place === 'rename' ? Promise.reject(new Error('ENOSPC')) : rename(...rest)),
    };
  };

  for (const place of ['open lock', 'write lock', 'open file', 'write file', 'sync file', 'rename']) {
    it(`leaves the old file whole, and nothing beside it: ${place}`, async () => {
      const file = fresh();
      await saved(file, 1);
      const before = readFileSync(file, 'utf8');
      await assert.rejects(cacheFile(file, full(place)).update(() => encodeText('NEW')));
      assert.equal(readFileSync(file, 'utf8'), before);
      assert.deepEqual(namesBeside(file), ['peers.json']);
      assert.equal(typeof decodeCache(readFileSync(file)), 'object');
    });
  }

  it(
    'or a folder without rights keeps all in memory, and is reported',
    { skip: process.getuid?.() === 0 || process.platform === 'win32' },
    async () => {
      const file = fresh();
      await saved(file, 1);
      chmodSync(path.dirname(file), 0o500);
      const faults: PeerCacheFault[] = [];
      const cache = await openFile(file, faults);
      reach(cache, 2);
      assert.equal(await cache.save(), false);
      assert.deepEqual([cache.peers.length, faults.map(({ code }) => code)], [2, ['unwritable']]);
      await cache.close();
      chmodSync(path.dirname(file), 0o700);
      assert.equal(decodeText(readFileSync(file))!.includes(idOf(2)), false);
    },
  );
});
