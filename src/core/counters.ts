/** What a layer did, in numbers. */

/** Reasons that every layer may have to drop a message. */
export type CoreDrop =
  /** It could not be parsed. */
  | 'malformed'
  /** Larger than the layer takes. */
  | 'oversize'
  /** Nobody listens. */
  | 'no_handler'
  /** Nobody was fast enough. */
  | 'queue_full'
  /** The handler threw; the message was delivered. */
  | 'handler_error'
  /** A list or the application said no. */
  | 'refused';

/** Why a message was dropped. Layers add reasons of their own as `layer.reason`: `p2pke.bad_signature`. */
export type DropReason = CoreDrop | `${string}.${string}`;

/** Live numbers of one layer; read them at any time. `inner` leads down the stack. */
export interface Counters {
  /** The layer's name: `udp`, `p2pke`, `frag` … */
  readonly layer: string;
  /** Messages handed down or out: tells, requests and answers. */
  readonly sent: number;
  /** Messages given to a handler, and answers given to an asker. */
  readonly received: number;
  /** Payload bytes of `sent`, without this layer's headers. */
  readonly sentBytes: number;
  /** Payload bytes of `received`, without this layer's headers. */
  readonly receivedBytes: number;
  /** How often each reason occurred. */
  readonly drops: ReadonlyMap<DropReason, number>;
  /** The layer below, if any. */
  readonly inner?: Counters | undefined;
}
