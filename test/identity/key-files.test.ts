import assert from 'node:assert/strict';
import { chmod, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readKeyFile, writeKeyFile } from '../../src/identity/key-files.ts';
import { generateKey } from '../../src/identity/keys.ts';

const posix = process.platform !== 'win32';

describe('key files', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-keys-'));
  });
  after(() => rm(folder, { recursive: true }));

  it('writeKeyFile() makes a file for its owner only, readKeyFile() reads it back', async () => {
    const path = join(folder, 'a.pem');
    const key = generateKey();
    await writeKeyFile(path, key);
    if (posix) assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.deepEqual((await readKeyFile(path)).publicKey, key.publicKey);
    assert.match(await readFile(path, 'utf8'), /^-----BEGIN PRIVATE KEY-----\n/);
  });

  it('writeKeyFile() replaces nothing unless told', async () => {
    const path = join(folder, 'b.pem');
    await writeFile(path, 'precious', { mode: 0o644 });
    await assert.rejects(writeKeyFile(path, generateKey()), { code: 'EEXIST' });
    assert.equal(await readFile(path, 'utf8'), 'precious');
    assert.deepEqual(
      (await readdir(folder)).filter((name) => name.endsWith('.part')),
      [],
    );
    await writeKeyFile(path, generateKey(), { overwrite: true });
    if (posix) assert.equal((await stat(path)).mode & 0o777, 0o600);
    await readKeyFile(path);
  });

  it('readKeyFile() refuses a file that others can read', { skip: posix ? false : 'no mode bits here' }, async () => {
    const path = join(folder, 'c.pem');
    await writeKeyFile(path, generateKey());
    await chmod(path, 0o640);
    await assert.rejects(readKeyFile(path), /its mode is 0640, other users may read it; run chmod 600/);
    await readKeyFile(path, { allowReadableByOthers: true });
  });

  it('readKeyFile() refuses what is no key, and says so when there is no file', async () => {
    const path = join(folder, 'd.pem');
    await writeFile(path, 'x'.repeat(70_000), { mode: 0o600 });
    await assert.rejects(readKeyFile(path), /70000 bytes is no key/);
    await writeFile(path, 'hello');
    await assert.rejects(readKeyFile(path), /holds no PEM block/);
    await assert.rejects(readKeyFile(join(folder, 'nothing.pem')), { code: 'ENOENT' });
  });
});
