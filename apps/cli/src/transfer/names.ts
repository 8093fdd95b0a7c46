/**
 * Which names a transfer may have: those that Linux, macOS and Windows can all keep, and keep apart. Sender and receiver
 * apply the same rules, the sender before it prints a ticket.
 */

import { encodeText } from 'shoal/bytes';
import { printable } from '../printable.ts';

/** Bytes of one name on every common file system. */
const MAX_NAME_BYTES = 255;
/** Linux takes paths of 4096 bytes; the rest is left for the folder of the receiver. */
const MAX_PATH_BYTES = 3072;

/** Characters of a name in a message. */
const SHOWN_CHARACTERS = 80;

/** Device names of Windows, with any ending; a superscript digit counts as a digit there. */
const DEVICE = /^(?:aux|clock\$|con|conin\$|conout\$|nul|prn|(?:com|lpt)\d) *(?:\.|$)/i;
/** Characters that turn the direction of text, so that a name reads as another one. */
const BIDI = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

/** A name from elsewhere for a message: cut, in quotes, harmless. */
export function quoteName(name: string): string {
  const cut = name.length > SHOWN_CHARACTERS ? `${name.slice(0, SHOWN_CHARACTERS)}…` : name;
  return `"${printable(cut)}"`;
}

/** One name as file systems without case compare it: also without normalisation forms and invisible characters. */
function fold(name: string): string {
  const visible = name.replaceAll(/\p{Default_Ignorable_Code_Point}/gu, '');
  return visible.normalize('NFD').toUpperCase().toLowerCase().normalize('NFD');
}

/** Whether a name is hidden in listings, on a file system that overlooks invisible characters too. */
export function isHidden(name: string): boolean {
  return fold(name).startsWith('.');
}

/** What is wrong with one part of a path; `undefined` when nothing is. */
export function nameFault(name: string): string | undefined {
  const seen = fold(name);
  if (seen === '') return 'a name needs a visible character';
  if (/^\.+$/.test(seen)) return 'a name of dots alone leads elsewhere';
  if (!name.isWellFormed()) return 'the name is not Unicode text';
  const bytes = encodeText(name).length;
  if (bytes > MAX_NAME_BYTES) return `the name has ${bytes} bytes, the most is ${MAX_NAME_BYTES}`;
  if (/[\p{Cc}\u2028\u2029]/u.test(name)) return 'the name has a line break or another control character';
  if (BIDI.test(name)) return 'the name has a character that turns the direction of text';
  const [special] = /["*/:<>?\\|]/.exec(name) ?? [];
  if (special !== undefined) return `the name has ${special}, which Windows does not take`;
  if (/[ .]$/.test(name)) return 'the name ends in a space or dot, which Windows drops';
  if (DEVICE.test(seen.normalize('NFKC'))) return 'the name is that of a device on Windows';
  return undefined;
}

/** The paths of one transfer, judged one after the other. */
export class PathRules {
  /** What was accepted, by what it is compared as. The caller bounds it by MAX_ENTRIES. */
  readonly #taken = new Map<string, string>();

  /** Accepts a path, or says what is wrong with it or with it beside the ones before. */
  fault(path: string): string | undefined {
    const bytes = encodeText(path).length;
    if (bytes > MAX_PATH_BYTES) return `the path has ${bytes} bytes, the most is ${MAX_PATH_BYTES}`;
    for (const name of path.split('/')) {
      const fault = nameFault(name);
      if (fault !== undefined) return fault;
    }
    const key = fold(path);
    const other = this.#taken.get(key);
    if (other !== undefined) return `macOS or Windows cannot keep it apart from ${quoteName(other)}`;
    this.#taken.set(key, path);
    return undefined;
  }
}
