/** Application codes of the endpoint. Source: docs/wire/endpoint.md. */

/** Codes of resets and STOP_SENDING on streams. */
export const STREAM_CODE = {
  /** Everything that was needed has come. */
  DONE: 0,
  REFUSED: 1,
  OVERSIZE: 2,
  CANCELLED: 3,
  MALFORMED: 4,
  VERSION: 5,
  TIMEOUT: 6,
} as const;

/** Codes of closes. */
export const CLOSE_CODE = {
  NORMAL: 0,
  REPLACED: 1,
  TOO_MANY: 2,
  REFUSED: 3,
  MALFORMED: 4,
} as const;
