/** Shaders of the layer: a mesh over a chunk, and the colour of a cell. */

/** How a cell is coloured; the numbers are those in the shader. */
export enum Mode {
  /** The colour of its class. */
  Class,
  /** The colour of a value on a ramp. */
  Value,
  /** Its class where it is another one than in the map that it is compared with. */
  Difference,
  /** How much its value is more or less than in the map that it is compared with. */
  LessOrMore,
}

/**
 * @param prelude - MapLibre's `projectTile`, which knows the projection in use.
 * @param define - Its definitions.
 */
export function vertexShader(prelude: string, define: string): string {
  return `#version 300 es
${prelude}
${define}
in vec2 a_place; // Mercator coordinates, 0 to 1 from west to east and from north to south
in vec2 a_cell; // column and row in the chunk
uniform float u_turn;
out highp vec2 v_cell;
void main() {
  v_cell = a_cell;
  gl_Position = projectTile(vec2(a_place.x + u_turn, a_place.y));
}`;
}

export const FRAGMENT_SHADER = `#version 300 es
precision highp float;
uniform highp sampler2D u_codes;
uniform highp sampler2D u_second;
uniform highp sampler2D u_palette;
uniform int u_mode;
uniform int u_no_data;
uniform float u_most; // difference at which the colours of differences end
uniform vec2 u_clip; // first and last column of the screen, in device pixels
uniform vec4 u_quiet;
in highp vec2 v_cell;
out vec4 colour;

int at(highp sampler2D chunk, ivec2 cell) {
  return int(texelFetch(chunk, cell, 0).r * 255.0 + 0.5);
}

void main() {
  if (gl_FragCoord.x < u_clip.x || gl_FragCoord.x >= u_clip.y) discard;
  ivec2 cell = clamp(ivec2(v_cell), ivec2(0), textureSize(u_codes, 0) - 1);
  int code = at(u_codes, cell);
  if (code == u_no_data) discard;
  vec4 of_class = texelFetch(u_palette, ivec2(code, 0), 0);
  bool is_land = of_class.a > 0.25;
  colour = vec4(of_class.rgb, 1.0);
  if (!is_land || u_mode == ${Mode.Class}) return;
  int second = at(u_second, cell);
  if (u_mode == ${Mode.Value}) {
    if (of_class.a < 0.75) return; // a class that is hidden
    colour = vec4(texelFetch(u_palette, ivec2(second, 1), 0).rgb, 1.0);
  } else if (u_mode == ${Mode.LessOrMore}) {
    // 127 is no difference, 0 and 254 are its ends, and 255 is none to be known
    float share = clamp(float(code - second) / u_most, -1.0, 1.0);
    int index = second == u_no_data ? 255 : 127 + int(round(127.0 * share));
    colour = vec4(texelFetch(u_palette, ivec2(index, 1), 0).rgb, 1.0);
  } else if (code == second) {
    colour = u_quiet;
  }
}`;
