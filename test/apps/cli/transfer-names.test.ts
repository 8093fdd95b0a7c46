import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { encodeText } from 'shoal/bytes';
import {
  MAX_ENTRIES,
  MAX_MANIFEST_BYTES,
  type Manifest,
  decodeManifest,
  encodeManifest,
} from '../../../apps/cli/src/transfer/manifest.ts';
import { PathRules, isHidden, nameFault, quoteName } from '../../../apps/cli/src/transfer/names.ts';
import * as fc from '../../support/fast-check.ts';

const file = { path: '', bytes: 1, sha256: 'ab'.repeat(32), executable: false };
const tree = (folders: readonly string[], ...files: readonly string[]): Manifest => ({
  name: 'x',
  kind: 'folder',
  files: files.map((each) => ({ ...file, path: each })),
  folders,
});
/** Why a manifest is refused; `undefined` when it is taken. */
function refusal(manifest: unknown): string | undefined {
  let why: string | undefined;
  const taken = decodeManifest(encodeText(JSON.stringify(manifest)), (reason) => (why = reason));
  assert.equal(taken === undefined, why !== undefined);
  return why;
}

/** Names by rule that they break. */
const REFUSED: Readonly<Record<string, readonly string[]>> = {
  'needs a visible character': ['', '\u200b', '\u200d\ufe0f', '\u3164'],
  'dots alone': ['.', '..', '...', '.\u200d.', '.\u200b'],
  'not Unicode text': ['\ud800', 'a\udc00b'],
  'control character': [
    'a\nb',
    'a\rb',
    '\t',
    'a\0',
    'a\u001b[2J',
    'a\u007f',
    'a\u0085',
    'a\u009b',
    'a\u2028',
    'a\u2029',
  ],
  'direction of text': ['a\u202etxt.exe', '\u202a', '\u2066a', 'a\u2069', 'a\u061c', 'a\u200e', 'a\u200f'].map(
    (name) => `x${name}`,
  ),
  'which Windows does not take': [
    'a:b',
    'shot 10:30.png',
    'c:',
    'a\\b',
    'a/b',
    '/etc',
    'a*',
    'a?',
    'a"',
    'a<',
    'a>',
    'a|b',
    'x::$DATA',
  ],
  'which Windows drops': ['.. ', '. ', 'a.', 'a ', 'a. .', 'con .', '.ssh.', '.ssh '],
  'device on Windows': [
    'con',
    'PRN',
    'aux.c',
    'Nul.tar.gz',
    'nul .txt',
    'con  .x',
    'CONIN$',
    'conout$',
    'CONIN$.txt',
    'clock$',

    'com1',
    'COM9.txt',
    'COM0',
    'com\u00b9',
    'COM\u00b2',
    'com\u00b3.log',
    'LPT\u00b9',
    'lpt\u00b2',
    'lpt\u00b3',
    'lpt0',
    'c\u200don',
    '\uff23\uff2f\uff2e',
  ],
  'the most is 255': ['x'.repeat(256), 'ä'.repeat(128), '😀'.repeat(64)],
};
const TAKEN = [
  'a',
  '.ssh',
  '..a',
  'a..b',
  ' a',
  'a b',
  'console',
  'aux1',
  'com',
  'com10',
  'comx.txt',
  'nulls',
  'conin',
  '$',
  'x'.repeat(255),
  'ä'.repeat(127),
  '日本語',
  '👩\u200d💻.txt',
  'a\u200cb',
  '~',
  '-rf',
  "it's",
  '%00',
  'a;b',
];

/** Text made of what names go wrong by. */
const hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '.',
        '..',
        '/',
        '\\',
        ':',
        ' ',
        '\0',
        '\n',
        '\u202e',
        '\u200d',
        '\u00b9',
        '\ud800',
        '\u212a',
        'ı',
        'ß',
      ),
      fc.constantFrom('con', 'NUL', 'com', '1', 'aux', '$', 'lpt', 'a', 'A', 'é', 'e\u0301', 'ﬁ', '😀'),
      fc.string({ unit: 'binary', maxLength: 4 }),
    ),
    { maxLength: 8 },
  )
  .map((parts) => parts.join(''));

describe('names of a transfer', () => {
  it('that some system cannot keep are refused, each with its reason', () => {
    for (const [why, names] of Object.entries(REFUSED)) {
      for (const name of names) {
        assert.match(nameFault(name) ?? 'none', new RegExp(why), JSON.stringify(name));
        const manifests = [
          { name, kind: 'file', files: [file], folders: [] },
          tree([name]),
          tree([], name),
          tree(['a'], `a/${name}`),
        ];
        for (const manifest of manifests) {
          // A slash is none of a name in a path.
          if (!name.includes('/')) assert.match(refusal(manifest) ?? 'none', new RegExp(why), JSON.stringify(manifest));
        }
      }
    }
  });

  it('that every system keeps are taken', () => {
    for (const name of TAKEN) {
      assert.equal(nameFault(name), undefined, name);
      assert.equal(refusal({ name, kind: 'file', files: [file], folders: [] }), undefined);
      assert.equal(refusal(tree(['a'], `a/${name}`)), undefined);
    }
  });

  it('that macOS or Windows take for one are refused beside each other', () => {
    for (const [a, b] of [
      ['readme', 'README'],
      ['é', 'e\u0301'],
      ['Å', '\u212b'],
      ['K', '\u212a'],
      ['straße', 'STRASSE'],
      ['σς', 'ΣΣ'],
      ['a\u200db', 'ab'],
      ['x', 'x'],
    ] as const) {
      const why = /macOS or Windows cannot keep it apart from "/;
      assert.match(refusal(tree([], a, b)) ?? 'none', why);
      assert.match(refusal(tree([a, b])) ?? 'none', why);
      assert.match(refusal(tree([a], b)) ?? 'none', why);
      assert.match(refusal(tree(['d'], `d/${a}`, `d/${b}`)) ?? 'none', why);
      if (a !== b) assert.match(refusal(tree([a, b], `${a}/1`, `${b}/2`)) ?? 'none', why);
    }
    assert.equal(refusal(tree(['d', 'e'], 'd/a', 'e/a', 'a')), undefined);
  });

  it('that are hidden are told, with invisible characters in front too', () => {
    for (const name of ['.ssh', '.bashrc', '\u200b.ssh', '\u200d.a', '\ufeff.a']) assert(isHidden(name), name);
    for (const name of ['ssh', 'a.b', ' .a', '_']) assert(!isHidden(name), name);
  });

  it('never lead out of their folder, whatever they are made of', () => {
    fc.assert(
      fc.property(hostile, (name) => {
        if (nameFault(name) !== undefined) return;
        assert.equal(path.win32.join('C:\\in', name), `C:\\in\\${name}`);
        assert.equal(path.posix.join('/in', name), `/in/${name}`);
        assert.equal(path.win32.basename(name), name);
        assert.equal(new TextDecoder().decode(encodeText(name)), name);
        assert.doesNotMatch(name, /[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069:\\/]|[. ]$/u);
        assert.doesNotMatch(quoteName(name), /[\p{Cc}\p{Cf}\p{Cs}]/u);
      }),
      { numRuns: 2000 },
    );
  });

  it('in a manifest are taken only when all stay below the whole and apart without case and normalisation', () => {
    const names = fc.oneof(fc.constantFrom('a', 'A', 'b', '..', 'é', 'e\u0301', 'con', 'x/..'), hostile);
    const paths = fc.array(
      fc.array(names, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/')),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(paths, paths, (folders, files) => {
        if (refusal(tree(folders, ...files)) !== undefined) return;
        const all = [...folders, ...files];
        for (const each of all) assert.equal(path.posix.normalize(`/x/${each}`), `/x/${each}`);
        for (const form of ['NFC', 'NFD'] as const) {
          assert.equal(new Set(all.map((each) => each.normalize(form).toLowerCase())).size, all.length);
          assert.equal(new Set(all.map((each) => each.normalize(form).toUpperCase())).size, all.length);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('of paths above 3072 bytes are refused, at exactly so many taken', () => {
    const long = `${`${'x'.repeat(199)}/`.repeat(15)}${'y'.repeat(72)}`;
    assert.equal(long.length, 3072);
    assert.equal(new PathRules().fault(long), undefined);
    assert.match(new PathRules().fault(`${long}y`) ?? '', /3073 bytes, the most is 3072/);
    // Bytes, not characters.
    assert.match(new PathRules().fault(long.replace('yy', 'ä') + 'y') ?? '', /3073 bytes/);
  });

  it('are quoted short and harmless', () => {
    assert.match(quoteName('a\u001b[31m\u202eb\nc'), /^"a[^\p{Cc}]+\[31m[^\p{Cf}]+b[^\n]+c"$/u);
    assert.equal(quoteName('x'.repeat(80)), `"${'x'.repeat(80)}"`);
    assert.equal(quoteName('x'.repeat(81)), `"${'x'.repeat(80)}…"`);
  });
});

describe('a manifest', () => {
  it('is refused with the name at fault', () => {
    assert.match(refusal(tree(['a'], 'a/con'))!, /^"a\/con": the name is that of a device/);
    assert.match(refusal({ ...tree([]), name: '..' })!, /^"\.\.": /);
    assert.match(refusal(tree([], 'a/b'))!, /^"a\/b": its folder is missing/);
    assert.match(refusal(tree([], 'a', 'a/b'))!, /^"a\/b": its folder is missing/);
    assert.match(refusal([])!, /no list of files/);
  });

  it('of another form is refused', () => {
    const good = { name: 'x', kind: 'file', files: [file], folders: [] };
    assert.equal(refusal(good), undefined);
    const folder = tree(['d'], 'd/a');
    const bad: readonly unknown[] = [
      { path: undefined },
      { path: 1 },
      { bytes: '1' },
      { bytes: -1 },
      { bytes: 0.5 },
      { bytes: 2 ** 53 },
      { bytes: null },
      { sha256: 1 },
      { sha256: 'ab' },
      { sha256: 'AB'.repeat(32) },
      { sha256: 'ab'.repeat(33) },
      { executable: 1 },
    ].map((fault) => ({ ...good, files: [{ ...file, ...(fault as object) }] }));
    const others: readonly unknown[] = [
      { ...good, files: [] },
      { ...good, files: [file, file] },
      { ...good, files: [{ ...file, path: 'a' }] },
      { ...good, files: [null] },
      { ...good, files: [1] },
      { ...good, files: {} },
      { ...good, folders: ['d'] },
      { ...good, name: 1 },
      { ...good, name: undefined },
      { ...good, kind: 'link' },
      { ...good, kind: undefined },
      { ...folder, folders: [1] },
      { ...folder, folders: 'd' },
      { ...folder, folders: undefined },
      null,
      1,
      'x',
      [],
      true,
    ];
    for (const each of [...bad, ...others])
      assert.match(refusal(each) ?? 'none', /no list of files/, JSON.stringify(each));
    for (const text of ['', '{', '\ufeff{}']) assert.equal(decodeManifest(encodeText(text)), undefined);
    assert.equal(decodeManifest(Uint8Array.of(0x22, 0xff, 0x22)), undefined);
  });

  it('with more entries, bytes or a longer text than the bounds is refused, at the bounds taken', () => {
    const many = Array.from({ length: MAX_ENTRIES }, (_, i) => `f${i}`);
    assert.equal(refusal(tree(many)), undefined);
    assert.match(refusal(tree(many, 'x'))!, /100001 entries, the most is 100000/);
    const size = (bytes: number): unknown => ({
      ...tree([]),
      files: [
        { ...file, path: 'a', bytes },
        { ...file, path: 'b' },
      ],
    });
    assert.equal(refusal(size(Number.MAX_SAFE_INTEGER - 1)), undefined);
    assert.match(refusal(size(Number.MAX_SAFE_INTEGER))!, /larger than any disk/);
    const encoded = encodeManifest(tree([]));
    const padded = (length: number): Uint8Array => encodeText(new TextDecoder().decode(encoded).padEnd(length));
    assert.notEqual(decodeManifest(padded(MAX_MANIFEST_BYTES)), undefined);
    assert.equal(decodeManifest(padded(MAX_MANIFEST_BYTES + 1)), undefined);
  });
});
