/** Replaces the HTTP server on platforms without sockets (browsers). */

import { P2PError } from '../core/errors.ts';
import { rejection } from '../runtime/promises.ts';
import type { HttpServer, HttpServerOptions } from './http.ts';

const what = 'Cannot serve HTTP: this platform has no sockets';

/** Rejects with `unsupported`. */
export function openHttpServer(_options: HttpServerOptions): Promise<HttpServer> {
  return rejection(new P2PError('unsupported', 'local', what, { sent: 'no' }));
}

/** Throws `unsupported`. */
export function createHttpServer(_options: HttpServerOptions): HttpServer {
  throw new P2PError('unsupported', 'local', what, { sent: 'no' });
}
