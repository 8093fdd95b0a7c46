/** Counters of a layer. */

/** Drop reasons that every layer may use. */
export type CoreDrop =
  /** It could not be parsed. */
  | 'malformed'
  /** Larger than the layer accepts. */
  | 'oversize'
  /** No handler is attached. */
  | 'no_handler'
  /** The receiver was too slow. */
  | 'queue_full'
  /** The handler threw; the message was delivered. */
  | 'handler_error'
  /** A list or the application refused it. */
  | 'refused';

/** Why a message was dropped. Layers add their own reasons as `layer.reason`: `p2pke.bad_signature`. */
export type DropReason = CoreDrop | `${string}.${string}`;

/** Live numbers of one layer; read them at any time. `inner` is the layer below. */
export interface Counters {
  /** The layer's name: `udp`, `p2pke`, `frag` … */
  readonly layer: string;
  /** Messages passed to the layer below or sent: tells, requests and answers. */
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
