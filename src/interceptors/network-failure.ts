/** What an error of a connection tells. */

/** Errors of the network, of TLS and of the peer's protocol; everything else is the caller's own affair. */
const NETWORK_CODE =
  /^(E[A-Z_]*(CONN|PIPE|TIMEDOUT|NOTFOUND|AGAIN|UNREACH|PROTO)[A-Z_]*|UND_ERR_(SOCKET|CONNECT_TIMEOUT|HEADERS_TIMEOUT|BODY_TIMEOUT|RES_(?!EXCEEDED)[A-Z_]+)|HPE_[A-Z_]+|ERR_(SSL|TLS|HTTP2)_[A-Z0-9_]+|CERT_[A-Z_]+|[A-Z_]*SELF_SIGNED_CERT[A-Z_]*|UNABLE_TO_[A-Z_]+)$/;

export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  if ('code' in error && typeof error.code === 'string') return error.code;
  // undici leaves it out for some answers that are no HTTP.
  return 'name' in error && error.name === 'HTTPParserError' ? 'HPE_INVALID' : undefined;
}

export function isNetworkFailure(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && NETWORK_CODE.test(code);
}

/** Whether the error proves that no connection stood, so that nothing was sent. */
export function isBeforeConnection(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  if ('errors' in error && Array.isArray(error.errors) && error.errors.length > 0) {
    return error.errors.every(isBeforeConnection);
  }
  return 'syscall' in error && (error.syscall === 'connect' || error.syscall === 'getaddrinfo');
}
