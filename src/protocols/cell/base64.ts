/** Base64 for URLs with padding (RFC 4648 §5), as Go's `base64.URLEncoding` writes it. */

import type { Bytes } from '../../base/bytes.ts';

const FORM = /^(?:[\w-]{4})*(?:[\w-]{2}==|[\w-]{3}=)?$/;

/** @example `encodeBase64Url(new Uint8Array(1))` is `'AA=='` */
export function encodeBase64Url(bytes: Uint8Array): string {
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_');
}

/** The bytes of a text; `undefined` when it is not the only text of them. Never throws. */
export function decodeBase64Url(text: string): Bytes | undefined {
  if (!FORM.test(text)) return undefined;
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  return encodeBase64Url(bytes) === text ? bytes : undefined;
}
