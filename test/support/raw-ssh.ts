/** An end of SSH that exchanges keys properly and then says whatever a test wants. */

import { type Bytes, concatBytes, encodeText } from '../../src/base/bytes.ts';
import type { Signer } from '../../src/identity/key-algorithm.ts';
import type { SshEnd } from '../../src/protocols/ssh/algorithms.ts';
import { MSG } from '../../src/protocols/ssh/constants.ts';
import { KeyExchange } from '../../src/protocols/ssh/key-exchange.ts';
import { type PacketKey, PacketReader, writePacket } from '../../src/protocols/ssh/packets.ts';
import { VersionReader } from '../../src/protocols/ssh/version.ts';
import { bool, byte, string } from '../../src/protocols/ssh/wire.ts';
import { sshWireKey } from '../../src/identity/ssh-key.ts';

const VERSION = encodeText('SSH-2.0-raw');

export class RawSsh {
  /** Payloads that have come since the keys are used. */
  readonly payloads: Bytes[] = [];
  /** Whether keys are in use in both directions. */
  isSecured = false;
  sessionId: Bytes | undefined;
  /** Whether its own NEWKEYS follows by itself. */
  holdsNewKeys = false;
  readonly #end: SshEnd;
  readonly #signer: Signer;
  readonly #version: VersionReader;
  readonly #reader = new PacketReader(262_144);
  #exchange: KeyExchange | undefined;
  #keys: { readonly send: PacketKey; readonly receive: PacketKey } | undefined;
  #sendKey: PacketKey | undefined;
  #theirVersion: Bytes | undefined;
  #out: Bytes[] = [concatBytes(VERSION, encodeText('\r\n'))];
  #seed = 40;

  constructor(end: SshEnd, signer: Signer) {
    this.#end = end;
    this.#signer = signer;
    this.#version = new VersionReader(end === 'client');
  }

  take(): Bytes {
    return concatBytes(...this.#out.splice(0));
  }

  send(...payload: readonly Uint8Array[]): void {
    this.#out.push(writePacket(payload, this.#sendKey));
  }

  sendNewKeys(): void {
    this.send(byte(MSG.NEWKEYS));
    this.#sendKey = this.#keys!.send;
  }

  /** Asks to be authenticated with a key: `signer` signs, unless it is only asked whether the key would do. */
  authenticate(key: Signer, signer?: Signer, sessionId: Bytes = this.sessionId!): void {
    const parts = [string(''), string('ssh-connection'), string('publickey'), bool(signer !== undefined)];
    const head = concatBytes(
      byte(MSG.USERAUTH_REQUEST),
      ...parts,
      string('ssh-ed25519'),
      string(sshWireKey(key.publicKey)),
    );
    if (signer === undefined) {
      this.send(head);
      return;
    }
    const signature = signer.sign(concatBytes(string(sessionId), head));
    this.send(head, string(concatBytes(string('ssh-ed25519'), string(signature))));
  }

  /** Asks for the service of authentication. */
  requestService(): void {
    this.send(byte(MSG.SERVICE_REQUEST), string('ssh-userauth'));
  }

  receive(bytes: Bytes): void {
    let rest = bytes;
    if (this.#theirVersion === undefined) {
      const read = this.#version.push(bytes);
      if (read === undefined || typeof read === 'string') return;
      this.#theirVersion = read.version;
      rest = read.rest;
      this.beginExchange();
    }
    this.#reader.push(rest);
    for (let next = this.#reader.next(); next instanceof Uint8Array; next = this.#reader.next()) this.#handle(next);
  }

  beginExchange(): void {
    const [own, their] = [VERSION, this.#theirVersion!];
    this.#exchange = new KeyExchange({
      end: this.#end,
      signer: this.#signer,
      versions: this.#end === 'client' ? { client: own, server: their } : { client: their, server: own },
      cookie: new Uint8Array(16),
      seed: new Uint8Array(32).fill(this.#seed++),
      sessionId: this.sessionId,
    });
    this.send(this.#exchange.init);
  }

  #handle(payload: Bytes): void {
    const type = payload[0]!;
    if (type === MSG.KEXINIT) {
      if (this.#exchange === undefined) this.beginExchange();
      const offer = this.#exchange!.handleInit(payload);
      if (offer instanceof Uint8Array) this.send(offer);
    } else if (type === MSG.NEWKEYS) {
      this.#reader.setKey(this.#keys!.receive);
      this.#exchange = undefined;
      this.isSecured = true;
    } else if (this.#exchange !== undefined && (type === MSG.KEX_ECDH_INIT || type === MSG.KEX_ECDH_REPLY)) {
      const done = this.#exchange.handle(payload);
      if (typeof done === 'string') throw new Error(`the other side is wrong: ${done}`);
      this.sessionId = done.sessionId;
      const [send, receive] = this.#end === 'client' ? [done.toServer, done.toClient] : [done.toClient, done.toServer];
      this.#keys = { send, receive };
      if (done.reply !== undefined) this.send(done.reply);
      if (!this.holdsNewKeys) this.sendNewKeys();
    } else this.payloads.push(payload);
  }
}
