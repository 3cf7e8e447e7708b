// SPDX-License-Identifier: Apache-2.0
// A 5 x 9 bitmap font, drawn for this project: what the labels of our pictures need, lower case only. Nine rows of five pixels each,
// one base-32 digit a row, the left pixel its highest bit; rows 0-6 stand on the baseline, rows 7-8 hang below it.

export const glyphWidth = 5;
export const glyphHeight = 9;

const glyphs: Readonly<Record<string, string>> = {
  ' ': '000000000',
  '.': '00000cc00',
  ',': '00000c480',
  ':': '00cc0cc00',
  '%': 'op248j300',
  '-': '0000e0000',
  '+': '0044v4400',
  '=': '000v0v000',
  '/': '01248g000',
  '(': '248884200',
  ')': '842224800',
  _: '0000000v0',
  0: 'ehjlphe00',
  1: '4c4444e00',
  2: 'eh1248v00',
  3: 'v2421he00',
  4: '26aiv2200',
  5: 'vgu11he00',
  6: '68guhhe00',
  7: 'v12488800',
  8: 'ehhehhe00',
  9: 'ehhf12c00',
  a: '00e1fhf00',
  b: 'ggmphhu00',
  c: '00ehghe00',
  d: '11djhhf00',
  e: '00ehvge00',
  f: '698s88800',
  g: '00fhhhf1e',
  h: 'ggmphhh00',
  i: '40c444e00',
  j: '2062222ic',
  k: 'ggikoki00',
  l: 'c44444e00',
  m: '00qllll00',
  n: '00mphhh00',
  o: '00ehhhe00',
  p: '00uhhhugg',
  q: '00fhhhf11',
  r: '00mpggg00',
  s: '00fge1u00',
  t: '88s889600',
  u: '00hhhjd00',
  v: '00hhha400',
  w: '00hhlla00',
  x: '00ha4ah00',
  y: '00hhhhf1e',
  z: '00v248v00',
};

/** A box, for characters the font lacks. */
const missing = 'vhhhhhv00';

/** Whether the pixel of a character is ink. Letters are drawn in lower case. `row` 0..8, `column` 0..4. */
export function isInk(character: string, row: number, column: number): boolean {
  const glyph = glyphs[character.toLowerCase()] ?? missing;
  return ((Number.parseInt(glyph[row] ?? '0', 32) >> (glyphWidth - 1 - column)) & 1) === 1;
}
