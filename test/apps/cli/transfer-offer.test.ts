import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { testKey } from 'shoal/testing';
import { decodeManifest, encodeManifest } from '../../../apps/cli/src/transfer/manifest.ts';
import { STATUS, encodeRequest } from '../../../apps/cli/src/transfer/messages.ts';
import { Offer, makeOffer } from '../../../apps/cli/src/transfer/offer.ts';
import * as fc from '../../support/fast-check.ts';

const base = mkdtempSync(path.join(tmpdir(), 'shoal-offer-'));
after(() => rmSync(base, { recursive: true, force: true }));
let folders = 0;
const newFolder = (): string => {
  const made = path.join(base, String(folders++), 'whole');
  mkdirSync(made, { recursive: true });
  return made;
};

interface Made {
  readonly offer: Offer;
  /** By path below the whole. */
  readonly leftOut: ReadonlyMap<string, string>;
}

/** Offers a path. @param onHashed - called when bytes have been hashed. */
async function offering(root: string, onHashed: () => void = () => undefined): Promise<Made> {
  const leftOut = new Map<string, string>();
  const offer = await makeOffer(
    root,
    testKey(1),
    new AbortController().signal,
    (file, why) => leftOut.set(path.relative(root, file), why),
    () => ({ add: onHashed, [Symbol.dispose]: () => undefined }),
  );
  // Whatever is offered, a receiver takes it.
  assert.deepEqual(
    decodeManifest(encodeManifest(offer.manifest), (why) => assert.fail(why)),
    offer.manifest,
  );
  return { offer, leftOut };
}
const pathsOf = ({ offer }: Made): readonly string[] => offer.manifest.files.map((file) => file.path);
const linux = { skip: process.platform !== 'linux' && 'needs the names and files of Linux' };

describe('what is offered', () => {
  it('leaves out what no receiver can take, and says why', linux, async () => {
    const whole = newFolder();
    for (const name of [
      'good',
      'shot 10:30.png',
      'aux.c',
      'a\\b',
      'a\nb',
      'trailing.',
      'README',
      'readme',
      '.hidden',
    ]) {
      writeFileSync(path.join(whole, name), name);
    }
    mkdirSync(path.join(whole, 'con'));
    writeFileSync(path.join(whole, 'con', 'inside'), 'x');
    writeFileSync(Buffer.concat([Buffer.from(`${whole}/caf`), Buffer.of(0xe9)]), 'latin-1');
    symlinkSync('/etc/passwd', path.join(whole, 'link'));
    await using socket = createServer();
    await once(socket.listen(path.join(whole, 'socket')), 'listening');
    const made = await offering(whole);
    assert.deepEqual(pathsOf(made), ['.hidden', 'README', 'good']);
    assert.deepEqual(made.offer.manifest.folders, []);
    const why = (name: string): string => made.leftOut.get(name) ?? 'nothing';
    assert.match(why('shot 10:30.png'), /has :, which Windows/);
    assert.match(why('aux.c'), /a device/);
    assert.match(why('con'), /a device/);
    assert.match(why('a\\b'), /has \\, which Windows/);
    assert.match(why('a\nb'), /line break/);
    assert.match(why('trailing.'), /ends in a space or dot/);
    assert.match(why('readme'), /keep it apart from "README"/);
    assert.match(why('caf\ufffd'), /not UTF-8/);
    assert.match(why('link'), /neither a file nor a folder/);
    assert.match(why('socket'), /neither a file nor a folder/);
    assert.equal(made.leftOut.size, 10);
  });

  it('is nothing when the whole has a name that no receiver can take', linux, async () => {
    for (const name of ['shot 10:30.png', 'aux.c', 'a\\b', 'a\nb', 'x.', 'con']) {
      const file = path.join(newFolder(), name);
      writeFileSync(file, 'x');
      await assert.rejects(offering(file), /^Failure: Cannot send .*rename it$/s, name);
    }
    await assert.rejects(offering('/'), /Cannot send \/: a name needs a visible character/);
  });

  it('has the name that was given, of a link to it too, and what the link leads to', async () => {
    const whole = newFolder();
    writeFileSync(path.join(whole, 'file'), 'x');
    symlinkSync(path.join(whole, 'file'), path.join(whole, 'other'));
    const { offer } = await offering(path.join(whole, 'other'));
    assert.equal(offer.manifest.name, 'other');
    const answer = await offer.answer(
      encodeRequest(offer.secret, { type: 'read', file: 1, offset: 0, length: 10 }),
      () => undefined,
    );
    assert.deepEqual([...answer], [STATUS.ok, 0x78]);
  });

  it('leaves out files without a fixed size', linux, async () => {
    await assert.rejects(offering('/proc/cpuinfo'), /Cannot send \/proc\/cpuinfo: it changes while it is read/);
    await assert.rejects(offering('/dev/zero'), /neither a file nor a folder/);
  });

  it('leaves out files that grow, shrink, are written or replaced while they are hashed', async () => {
    const changes: Readonly<Record<string, (file: string) => void>> = {
      grow: (file) => appendFileSync(file, 'x'),
      shrink: (file) => truncateSync(file, 10),
      touch: (file) => utimesSync(file, 1, 1),
    };
    for (const [name, change] of Object.entries(changes)) {
      const whole = newFolder();
      // Larger than one read, so that it changes in the middle.
      writeFileSync(path.join(whole, name), new Uint8Array(3 * 2 ** 20));
      writeFileSync(path.join(whole, 'z'), 'x');
      let changed = 0;
      const onHashed = (): void => {
        if (changed++ === 0) change(path.join(whole, name));
      };
      const made = await offering(whole, onHashed);
      assert.deepEqual(pathsOf(made), ['z'], name);
      assert.match(made.leftOut.get(name)!, /it changes while it is read/);
      changed = 0;
      writeFileSync(path.join(whole, name), new Uint8Array(3 * 2 ** 20));
      await assert.rejects(offering(path.join(whole, name), onHashed), /it changes while it is read/);
    }
  });

  it('leaves out files that are gone before they are hashed', async () => {
    const whole = newFolder();
    for (const name of ['a', 'b', 'c']) writeFileSync(path.join(whole, name), 'x');
    const made = await offering(whole, () => rmSync(path.join(whole, 'b'), { force: true }));
    assert.deepEqual(pathsOf(made), ['a', 'c']);
    assert.deepEqual([...made.leftOut.keys()], ['b']);
  });

  it('ends reading a file that grows for ever one byte behind its size', async () => {
    const whole = newFolder();
    const file = path.join(whole, 'log');
    writeFileSync(file, new Uint8Array(2 ** 20));
    let reads = 0;
    const onHashed = (): void => {
      if (reads++ < 100) appendFileSync(file, new Uint8Array(2 ** 20));
    };
    await assert.rejects(offering(file, onHashed), /it changes while it is read/);
    assert.equal(reads, 2);
  });

  it(
    'leaves out what cannot be read, and offers the rest',
    { skip: process.getuid?.() === 0 && 'root reads everything' },
    async () => {
      const whole = newFolder();
      mkdirSync(path.join(whole, 'closed'));
      for (const name of ['closed/inside', 'secret', 'open']) writeFileSync(path.join(whole, name), 'x');
      chmodSync(path.join(whole, 'closed'), 0);
      chmodSync(path.join(whole, 'secret'), 0);
      const made = await offering(whole);
      chmodSync(path.join(whole, 'closed'), 0o700);
      assert.deepEqual(pathsOf(made), ['open']);
      assert.match(made.leftOut.get('closed')!, /EACCES/);
      assert.match(made.leftOut.get('secret')!, /EACCES/);
    },
  );

  it('leaves out what lies deeper than the system reads', linux, async () => {
    const whole = newFolder();
    const deep = Array.from({ length: 12 }, () => 'd'.repeat(200));
    mkdirSync(path.join(whole, ...deep), { recursive: true });
    writeFileSync(path.join(whole, 'a'), 'x');
    const far = path.join(newFolder(), ...Array.from({ length: 10 }, () => 'p'.repeat(200)));
    mkdirSync(far, { recursive: true });
    renameSync(whole, path.join(far, 'whole'));
    const made = await offering(path.join(far, 'whole'));
    assert.deepEqual(pathsOf(made), ['a']);
    assert.match([...made.leftOut.values()].join('\n'), /^ENAMETOOLONG[^\n]*$/);
  });

  it('is nothing when its list would be longer than a receiver takes, said before anything is hashed', async () => {
    const whole = newFolder();
    const long = path.join(whole, ...Array.from({ length: 14 }, () => 'x'.repeat(200)));
    mkdirSync(long, { recursive: true });
    for (let i = 0; i < 11_500; i++) writeFileSync(path.join(long, `${i}`.padEnd(100, 'y')), '');
    let hashed = 0;
    const wide = path.join(newFolder(), 'wide');
    renameSync(whole, wide);
    await assert.rejects(
      offering(wide, () => hashed++),
      /the list of its 11500 files takes \d+ bytes, the most is 33554432; send an archive/,
    );
    assert.equal(hashed, 0);
  });

  it('is what a receiver takes, for folders of any names', linux, async () => {
    const part = fc.oneof(
      fc.constantFrom(
        'a',
        'A',
        'é',
        'e\u0301',
        'con',
        'nul .txt',
        '..a',
        'a.',
        'a:b',
        'COM\u00b9',
        'x'.repeat(255),
        '\u202e',
      ),
      fc.string({ unit: 'binary', minLength: 1, maxLength: 6 }).map((text) => text.replaceAll(/[/\0]/g, '_')),
    );
    const usable = part.filter((text) => text.isWellFormed() && text !== '.' && text !== '..');
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(usable, { minLength: 1, maxLength: 3 }), { maxLength: 8 }), async (paths) => {
        const whole = newFolder();
        for (const parts of paths) {
          try {
            mkdirSync(path.join(whole, ...parts.slice(0, -1)), { recursive: true });
            writeFileSync(path.join(whole, ...parts), 'x');
          } catch {
            // A file where a folder should be, or the other way round.
          }
        }
        const made = await offering(whole);
        const { files, folders: inside } = made.offer.manifest;
        const left = [...made.leftOut.keys()];
        for (const each of [...files.map((file) => file.path), ...inside]) assert(!left.includes(each));
      }),
      { numRuns: 60 },
    );
  });
});

/** Files below a folder that this process has open. */
function openBelow(folder: string): readonly string[] {
  const open = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // that of the listing itself
    }
  });
  return open.filter((file) => file.startsWith(folder));
}

describe('what is served', () => {
  it('is the file that was hashed: another one in its place, a link above all, gets no byte', async () => {
    const changes: Readonly<Record<string, (file: string) => void>> = {
      longer: (file) => appendFileSync(file, 'x'),
      gone: (file) => rmSync(file),
      replaced: (file) => {
        writeFileSync(`${file}.new`, 'abcd');
        utimesSync(`${file}.new`, 5, 5);
        renameSync(`${file}.new`, file);
      },
      linked: (file) => {
        renameSync(file, `${file}.moved`);
        symlinkSync(`${file}.moved`, file);
      },
      folder: (file) => {
        rmSync(file);
        mkdirSync(file);
      },
    };
    for (const [name, change] of Object.entries(changes)) {
      const whole = newFolder();
      const file = path.join(whole, name);
      writeFileSync(file, 'abcd');
      utimesSync(file, 5, 5);
      const { offer } = await offering(whole);
      const read = encodeRequest(offer.secret, { type: 'read', file: 1, offset: 1, length: 2 });
      assert.deepEqual([...(await offer.answer(read, () => undefined))], [STATUS.ok, 0x62, 0x63]);
      change(file);
      assert.deepEqual([...(await offer.answer(read, () => undefined))], [STATUS.changed], name);
    }
  });

  it('is no empty file when this side cannot read, and nothing for messages of another form', async () => {
    const whole = newFolder();
    writeFileSync(path.join(whole, 'a'), 'abc');
    const { offer } = await offering(whole);
    const source = { file: 'a\0b', bytes: 3, mtimeMs: 0, ino: 0 };
    const broken = new Offer(offer.manifest, [source], testKey(1));
    const read = encodeRequest(offer.secret, { type: 'read', file: 1, offset: 0, length: 3 });
    await assert.rejects(
      broken.answer(read, () => undefined),
      /null bytes/,
    );
    for (const message of [Uint8Array.of(...read, 0), read.subarray(0, -1), read.subarray(0, 17), offer.secret]) {
      assert.deepEqual([...(await offer.answer(message, () => undefined))], [STATUS.request]);
    }
    for (const message of [new Uint8Array(), read.subarray(0, 15), read.with(0, read[0]! ^ 1)]) {
      assert.deepEqual([...(await offer.answer(message, () => undefined))], [STATUS.secret]);
    }
  });

  it('leaves no file open', linux, async () => {
    const whole = newFolder();
    for (const name of ['a', 'b']) writeFileSync(path.join(whole, name), 'abc');
    const { offer } = await offering(whole);
    appendFileSync(path.join(whole, 'b'), 'x');
    for (const file of [1, 2]) {
      await offer.answer(encodeRequest(offer.secret, { type: 'read', file, offset: 0, length: 3 }), () => undefined);
    }
    assert.deepEqual(openBelow(whole), []);
  });

  it('opens a file once for answers at the same time, and checks it after each read', linux, async () => {
    const whole = newFolder();
    const file = path.join(whole, 'a');
    writeFileSync(file, 'abcd');
    const { offer } = await offering(whole);
    const read = (offset: number): Promise<Uint8Array> =>
      offer.answer(encodeRequest(offer.secret, { type: 'read', file: 1, offset, length: 1 }), () => undefined);
    const answers = await Promise.all([read(0), read(1), read(2)]);
    assert.deepEqual(
      answers.map(([, byte]) => byte),
      [0x61, 0x62, 0x63],
    );
    assert.deepEqual(openBelow(whole), []);
    const [before, after] = [read(0), (appendFileSync(file, 'x'), read(1))];
    assert.deepEqual([...(await before)], [STATUS.changed]);
    assert.deepEqual([...(await after)], [STATUS.changed]);
    assert.deepEqual(openBelow(whole), []);
  });

  it('are only files of the list, and pieces of at most 256 KiB', async () => {
    const whole = newFolder();
    writeFileSync(path.join(whole, 'a'), 'abc');
    const { offer } = await offering(whole);
    const read = async (file: number, offset: number, length: number): Promise<readonly number[]> => [
      ...(await offer.answer(encodeRequest(offer.secret, { type: 'read', file, offset, length }), () => undefined)),
    ];
    assert.deepEqual(await read(1, 0, 262_144), [STATUS.ok, 0x61, 0x62, 0x63]);
    assert.deepEqual(await read(1, 0, 262_145), [STATUS.request]);
    assert.deepEqual(await read(1, 4, 10), [STATUS.ok]);
    assert.deepEqual(await read(2, 0, 1), [STATUS.request]);
    let done = 0;
    const wrong = new Uint8Array(16);
    assert.deepEqual([...(await offer.answer(encodeRequest(wrong, { type: 'done' }), () => done++))], [STATUS.secret]);
    assert.equal(done, 0);
    assert.deepEqual(
      [...(await offer.answer(encodeRequest(offer.secret, { type: 'done' }), () => done++))],
      [STATUS.ok],
    );
    assert.equal(done, 1);
  });

  it('at once from many files is right', async () => {
    const whole = newFolder();
    for (let i = 0; i < 200; i++) writeFileSync(path.join(whole, `${i}`.padStart(3, '0')), Uint8Array.of(i));
    const { offer } = await offering(whole);
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        offer.answer(encodeRequest(offer.secret, { type: 'read', file: i + 1, offset: 0, length: 1 }), () => undefined),
      ),
    );
    assert.deepEqual(
      answers.map(([status, byte]) => [status, byte]),
      Array.from({ length: 200 }, (_, i) => [STATUS.ok, i]),
    );
  });
});
