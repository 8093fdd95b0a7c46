import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import type { Bytes } from 'shoal';
import { encodeText } from 'shoal/bytes';
import type { Manifest } from '../../../apps/cli/src/transfer/manifest.ts';
import { type Rest, Store } from '../../../apps/cli/src/transfer/store.ts';

const base = realpathSync(mkdtempSync(path.join(tmpdir(), 'shoal-store-')));
after(() => rmSync(base, { recursive: true, force: true }));
let folders = 0;
const newFolder = (): string => {
  const made = path.join(base, String(folders++));
  mkdirSync(made);
  return made;
};
const TAG = '07'.repeat(6);
const HASH: Bytes = new Uint8Array(32).fill(7);
const { signal } = new AbortController();

const fileOf = (at: string, text: string, executable = false): Manifest['files'][number] => ({
  path: at,
  bytes: text.length,
  sha256: createHash('sha256').update(text).digest('hex'),
  executable,
});
const single = (text = 'hello', name = 'x'): Manifest => ({
  name,
  kind: 'file',
  files: [fileOf('', text)],
  folders: [],
});
const tree = (): Manifest => ({
  name: 'x',
  kind: 'folder',
  files: [fileOf('a', 'hello'), fileOf('d/run', 'hello', true)],
  folders: ['d', 'd/empty'],
});
async function* piecesOf(...texts: readonly string[]): AsyncGenerator<Bytes> {
  for (const text of texts) yield encodeText(text);
}

interface Wish {
  readonly force?: boolean;
  readonly text?: string;
  readonly finish?: boolean;
}
/** Receives into a folder, from what is there on. */
async function receive(
  folder: string,
  manifest: Manifest,
  { force = false, text = 'hello', finish = true }: Wish = {},
) {
  const store = await Store.open(folder, manifest, HASH, force);
  await store.prepare();
  const rests: Rest[] = [];
  let written = 0;
  for (const file of manifest.files) {
    const rest = await store.rest(file, signal);
    rests.push(rest);
    await store.write(
      file,
      rest,
      piecesOf(text.slice(rest.from, 4), text.slice(Math.max(rest.from, 4))),
      (bytes) => (written += bytes),
    );
  }
  if (finish) await store.finish();
  return { store, rests, written };
}
const read = (...parts: readonly string[]): string => readFileSync(path.join(...parts), 'utf8');
const posix = { skip: process.platform === 'win32' && 'needs links and modes' };

describe('what a transfer writes', () => {
  it('has its name only when all is there', async () => {
    for (const manifest of [single(), tree()]) {
      const folder = newFolder();
      const { store } = await receive(folder, manifest, { finish: false });
      assert.deepEqual(readdirSync(folder), [`.x.${TAG}.shoal-part`]);
      await store.finish();
      assert.deepEqual(readdirSync(folder), ['x']);
    }
  });

  it('keeps the executable bit within the umask', posix, async () => {
    const folder = newFolder();
    const before = process.umask(0o077);
    await receive(folder, tree());
    process.umask(before);
    assert.equal(statSync(path.join(folder, 'x', 'd', 'run')).mode & 0o777, 0o700);
    assert.equal(statSync(path.join(folder, 'x', 'a')).mode & 0o777, 0o600);
  });

  it('goes on from what is there, checked with the rest', async () => {
    const folder = newFolder();
    const part = path.join(folder, `.x.${TAG}.shoal-part`);
    writeFileSync(part, 'hel');
    const { rests, written } = await receive(folder, single());
    assert.equal(rests[0]!.from, 3);
    assert.equal(written, 2);
    assert.equal(read(folder, 'x'), 'hello');
  });

  it('begins anew where what is there is longer, a folder, or of another name too', async () => {
    for (const plant of [
      (part: string) => writeFileSync(part, 'hello!'),
      (part: string) => mkdirSync(path.join(part, 'deep'), { recursive: true }),
      (part: string) => {
        writeFileSync(`${part}.other`, 'hel');
        linkSync(`${part}.other`, part);
      },
      (part: string) => writeFileSync(part, ''),
    ]) {
      const folder = newFolder();
      const part = path.join(folder, `.x.${TAG}.shoal-part`);
      plant(part);
      const { rests } = await receive(folder, single());
      assert.equal(rests[0]!.from, 0);
      assert.equal(read(folder, 'x'), 'hello');
      if (existsSync(`${part}.other`)) assert.equal(read(`${part}.other`), 'hel');
    }
  });

  it('is deleted when its hash is wrong, told by its name; the other files stay', async () => {
    const folder = newFolder();
    const manifest = tree();
    const store = await Store.open(folder, manifest, HASH, false);
    await store.prepare();
    await store.write(manifest.files[0]!, { from: 0 }, piecesOf('hello'), () => undefined);
    await store.write(manifest.files[1]!, { from: 0 }, piecesOf('hellO'), () => undefined);
    await assert.rejects(store.finish(), /Cannot receive "x\/d\/run": its hash is not the promised one/);
    const part = path.join(folder, `.x.${TAG}.shoal-part`);
    assert.deepEqual(readdirSync(part), ['a', 'd']);
    assert.deepEqual(readdirSync(path.join(part, 'd')), ['empty']);
    assert.equal(existsSync(path.join(folder, 'x')), false);
  });

  it('stops soon when the hash of an earlier file is wrong', async () => {
    const files = Array.from({ length: 100 }, (_, i) => fileOf(`${i}`, i === 0 ? 'other' : 'hello'));
    const manifest: Manifest = { name: 'x', kind: 'folder', files, folders: [] };
    const store = await Store.open(newFolder(), manifest, HASH, false);
    await store.prepare();
    let written = 0;
    const all = async (): Promise<void> => {
      for (const file of files) await store.write(file, { from: 0 }, piecesOf('hello'), () => written++);
    };
    await assert.rejects(all(), /Cannot receive "x\/0": its hash/);
    assert(written < 100, `${written} files`);
  });

  it('counts as written only what a later attempt finds', async () => {
    const folder = newFolder();
    const manifest = single('x'.repeat(1000));
    const store = await Store.open(folder, manifest, HASH, false);
    await store.prepare();
    const part = path.join(folder, `.x.${TAG}.shoal-part`);
    let told = 0;
    await store.write(
      manifest.files[0]!,
      { from: 0 },
      piecesOf(...Array.from({ length: 10 }, () => 'x'.repeat(100))),
      (bytes) => {
        told += bytes;
        assert(statSync(part).size >= told);
      },
    );
    assert.equal(told, 1000);
    await store.finish();
  });

  it('refuses a target that exists, also one that appears meanwhile; --force replaces it', posix, async () => {
    for (const manifest of [single(), tree()]) {
      for (const plant of [
        (at: string) => writeFileSync(at, 'old'),
        (at: string) => {
          mkdirSync(at);
          writeFileSync(path.join(at, 'old'), 'old');
        },
        (at: string) => symlinkSync('/nowhere/at/all', at),
        (at: string) => symlinkSync(base, at),
      ]) {
        const folder = newFolder();
        const target = path.join(folder, 'x');
        const { store } = await receive(folder, manifest, { finish: false });
        plant(target);
        const kind = lstatSync(target);
        await assert.rejects(store.finish(), /x: it exists; --force replaces it/);
        await assert.rejects(receive(folder, manifest), /x: it exists; --force replaces it/);
        assert.equal(lstatSync(target).ino, kind.ino);
        await receive(folder, manifest, { force: true });
        assert.deepEqual(readdirSync(folder), ['x']);
        assert.equal(lstatSync(target).isDirectory(), manifest.kind === 'folder');
        assert.equal(read(target, ...(manifest.kind === 'folder' ? ['a'] : [])), 'hello');
      }
    }
    assert(existsSync(path.join(base, '0')), 'what a link leads to stays');
  });

  it('replaces a folder though an older one was left aside', async () => {
    const folder = newFolder();
    const old = path.join(folder, `.x.${TAG}.shoal-part.old`);
    for (const at of [old, path.join(folder, 'x')]) {
      mkdirSync(at);
      writeFileSync(path.join(at, 'old'), 'old');
    }
    await receive(folder, tree(), { force: true });
    assert.deepEqual(readdirSync(folder), ['x']);
    assert.equal(read(folder, 'x', 'a'), 'hello');
  });

  it('leaves the old folder in place when the new one cannot take its name', async () => {
    const folder = newFolder();
    mkdirSync(path.join(folder, 'x'));
    writeFileSync(path.join(folder, 'x', 'old'), 'old');
    const { store } = await receive(folder, single(), { finish: false, force: true });
    rmSync(path.join(folder, `.x.${TAG}.shoal-part`));
    await assert.rejects(store.finish(), /ENOENT/);
    assert.equal(read(folder, 'x', 'old'), 'old');
  });

  it('takes names of 255 bytes, in whole characters', async () => {
    for (const name of ['x'.repeat(231), 'x'.repeat(255), 'ä'.repeat(127), `${'😀'.repeat(63)}abc`]) {
      for (const manifest of [single('hello', name), { ...tree(), name }]) {
        const folder = newFolder();
        const { store } = await receive(folder, manifest, { finish: false });
        const [part] = readdirSync(folder);
        assert(part!.isWellFormed() && part!.endsWith(`.${TAG}.shoal-part`) && encodeText(`${part}.old`).length <= 255);
        await store.finish();
        await receive(folder, manifest, { force: true });
        assert.deepEqual(readdirSync(folder), [name]);
      }
    }
  });

  it(
    'refuses a path that the system does not take, before anything is fetched',
    { skip: process.platform !== 'linux' && 'of Linux' },
    async () => {
      const deep = path.join(newFolder(), ...Array.from({ length: 6 }, () => 'y'.repeat(200)));
      const names = Array.from({ length: 15 }, () => 'z'.repeat(200));
      const folders = names.map((_, i) => names.slice(0, i + 1).join('/'));
      const manifest: Manifest = {
        name: 'x',
        kind: 'folder',
        files: [fileOf(`${folders.at(-1)}/f`, 'hello')],
        folders,
      };
      await assert.rejects(receive(deep, manifest), /its path has \d+ bytes; choose a shorter --out/);
      assert.deepEqual(readdirSync(deep), []);
      await receive(newFolder(), manifest);
    },
  );
});

describe('paths of a transfer', () => {
  it(
    'that lead elsewhere are not followed: links in the place of a part are removed, of a folder refused',
    posix,
    async () => {
      const elsewhere = newFolder();
      writeFileSync(path.join(elsewhere, 'a'), 'hel');
      writeFileSync(path.join(elsewhere, 'run'), 'hel');
      const part = (folder: string, ...more: readonly string[]): string =>
        path.join(folder, `.x.${TAG}.shoal-part`, ...more);
      // A part that is a link to a file.
      let folder = newFolder();
      symlinkSync(path.join(elsewhere, 'a'), part(folder));
      await receive(folder, single());
      assert.equal(lstatSync(path.join(folder, 'x')).isFile(), true);
      // A file in a part.
      folder = newFolder();
      mkdirSync(part(folder));
      symlinkSync(path.join(elsewhere, 'a'), part(folder, 'a'));
      await receive(folder, tree());
      assert.equal(lstatSync(path.join(folder, 'x', 'a')).isFile(), true);
      // The part itself, or a folder in it.
      folder = newFolder();
      symlinkSync(elsewhere, part(folder));
      await assert.rejects(receive(folder, tree()), /something else of that name is there/);
      folder = newFolder();
      mkdirSync(part(folder));
      symlinkSync(elsewhere, part(folder, 'd'));
      await assert.rejects(receive(folder, tree()), /d: something else of that name is there/);
      assert.deepEqual(readdirSync(elsewhere), ['a', 'run']);
      for (const name of ['a', 'run']) assert.equal(read(elsewhere, name), 'hel');
    },
  );

  it(
    'that belong to somebody else are not written to',
    { skip: process.getuid?.() !== 0 && 'needs root' },
    async () => {
      const folder = newFolder();
      const part = path.join(folder, `.x.${TAG}.shoal-part`);
      writeFileSync(part, 'hel');
      chownSync(part, 12_345, 12_345);
      await receive(folder, single());
      assert.equal(statSync(path.join(folder, 'x')).uid, 0);
      mkdirSync(part);
      chownSync(part, 12_345, 12_345);
      await assert.rejects(receive(folder, tree(), { force: true }), /something else of that name is there/);
      assert.deepEqual(readdirSync(part), []);
    },
  );

  it('that become links between the look and the writing are not followed', posix, async () => {
    const [folder, elsewhere] = [newFolder(), newFolder()];
    writeFileSync(path.join(elsewhere, 'a'), 'hel');
    const manifest = single();
    const store = await Store.open(folder, manifest, HASH, false);
    await store.prepare();
    const part = path.join(folder, `.x.${TAG}.shoal-part`);
    for (const from of [0, 3]) {
      rmSync(part, { force: true });
      symlinkSync(path.join(elsewhere, 'a'), part);
      await assert.rejects(
        store.write(manifest.files[0]!, { from }, piecesOf('hello'.slice(from)), () => undefined),
        /EEXIST|ELOOP/,
      );
    }
    rmSync(part);
    linkSync(path.join(elsewhere, 'a'), part);
    const written = store.write(manifest.files[0]!, { from: 0 }, piecesOf('hello'), () => undefined);
    await assert.rejects(written, /EEXIST/);
    assert.equal(read(elsewhere, 'a'), 'hel');
  });

  it('of the folder itself are those of the user: a link there is followed', posix, async () => {
    const folder = newFolder();
    const link = path.join(newFolder(), 'link');
    symlinkSync(folder, link);
    const { store } = await receive(link, single());
    assert.equal(store.target, path.join(folder, 'x'));
    assert.equal(read(folder, 'x'), 'hello');
  });
});
