// What Python's `pack` has made, taken apart again.

/**
 * @param {Uint8Array} message
 * @returns {{header: any, body: Uint8Array}}
 */
export function unpack(message) {
  const length = new DataView(message.buffer, message.byteOffset, 4).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(message.subarray(4, 4 + length)));
  return { header, body: message.subarray(4 + length) };
}
