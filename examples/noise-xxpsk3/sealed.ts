/** Noise_XXpsk3 by hand: a handshake that leaves two ciphers, and a codec that seals each message with them. */

import { decodeText, encodeText } from 'shoal/bytes';
import { systemRealm } from 'shoal';
import type { Codec, HandshakeContext, TcpConnection } from 'shoal/node';
import {
  frameNoiseMessage,
  NoiseHandshake,
  NoiseRecordReader,
  type NoiseTransport,
  sealRecords,
} from 'shoal/machines/noise';

const psk = encodeText('I dont care for codes of conduct'); // as pea2pea has it
const ciphers = new WeakMap<TcpConnection, NoiseTransport>();

export async function secure({ connection, stream }: HandshakeContext): Promise<void> {
  const [ephemeralSeed, staticSeed] = [systemRealm.random(32), systemRealm.random(32)];
  const machine = new NoiseHandshake({
    pattern: 'XXpsk3',
    hash: 'BLAKE2s',
    role: connection.side === 'responder' ? 'initiator' : 'responder',
    ephemeralSeed,
    staticSeed,
    psk,
  });
  while (machine.turn !== 'done') {
    if (machine.turn === 'write') {
      const written = machine.write();
      if (!written.ok) throw new Error(written.fault);
      await stream.write(frameNoiseMessage(written.bytes));
    } else {
      const [high, low] = await stream.read(2);
      const read = machine.read(await stream.read(high! * 256 + low!));
      if (!read.ok) throw new Error(read.fault);
    }
  }
  ciphers.set(connection, machine.finish());
}

/** A text, sealed, behind its length. */
export const sealed: Codec<string> = {
  decoder: (connection) => {
    const reader = new NoiseRecordReader(ciphers.get(connection)!.receive);
    const texts: string[] = []; // Bounded by one chunk.
    return {
      push: (chunk) => {
        const opened = reader.push(chunk);
        if (typeof opened === 'string') throw new Error(opened);
        texts.push(...opened.map((bytes) => decodeText(bytes) ?? ''));
      },
      next: () => texts.shift(),
      get bufferedBytes() {
        return reader.pending;
      },
    };
  },
  encoder: (connection) => ({
    encode: (text, out) => {
      const record = sealRecords(ciphers.get(connection)!.send, encodeText(text));
      if (typeof record === 'string') throw new Error(record);
      out.bytes(record);
    },
  }),
};
