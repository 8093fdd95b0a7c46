/**
 * `shoal/bytes`: text, hex and varints as bytes.
 *
 * @example
 * ```ts
 * await swarm.tell(dst, encodeText('hello'));
 * swarm.listen(({ payload }) => console.log(decodeText(payload) ?? 'invalid UTF-8'));
 * ```
 */

export {
  type Bytes,
  EMPTY_BYTES,
  compareBytes,
  concatBytes,
  copyBytes,
  copyMessage,
  joinBytes,
  viewFrom,
  decodeText,
  encodeText,
  equalBytes,
  fromHex,
  toHex,
} from './bytes.ts';
export {
  type Varint,
  MAX_VARINT_BYTES,
  encodeVarint,
  encodeVarint64,
  readVarint,
  readVarint64,
  varintLength,
  writeVarint,
} from './varint.ts';
