/** The MapLibre layer that draws chunks of codes with a palette, on a globe and on a flat map. */

import type {
  CustomLayerInterface,
  CustomRenderMethodInput,
  Map as MapLibreMap,
} from "maplibre-gl";
import type { Level } from "./product";
import { FRAGMENT_SHADER, Mode, vertexShader } from "./shaders";
import type { Tile } from "./tiles";

/** Quads along the sides of a chunk's mesh: columns bend on a globe, rows on every map. */
const MESH_COLS = 16;
const MESH_ROWS = 48;
/** Textures that are kept. */
const MOST_TEXTURES = 512;
/** Mercator has no poles. */
const MOST_LATITUDE = 89.9;

/** A chunk to draw: where, and its bytes. */
export interface Piece {
  tile: Tile;
  /** Name of the bytes, by which their texture is found again. */
  key: string;
  codes: Uint8Array;
  second?: { key: string; values: Uint8Array };
}

/** What one side of the screen shows. */
export interface Picture {
  mode: Mode;
  pieces: Piece[];
  /** Part of the width of the screen, from 0 to 1. */
  clip: [number, number];
}

interface Mesh {
  buffer: WebGLBuffer;
  indices: number;
}

interface Program {
  program: WebGLProgram;
  uniform: Record<string, WebGLUniformLocation | null>;
}

export class ChunkLayer implements CustomLayerInterface {
  readonly id = "product";
  readonly type = "custom" as const;
  readonly renderingMode = "2d" as const;
  /** What is drawn at the next frame. */
  pictures: Picture[] = [];
  noData = -1;
  /** Levels of difference at which the colours of differences of values end. */
  mostDifference = 1;
  quiet: [number, number, number] = [220, 220, 216];
  /** Called after each frame that was drawn. */
  onFrame: () => void = () => {};

  private map!: MapLibreMap;
  private gl!: WebGL2RenderingContext;
  private programs = new Map<string, Program>();
  private meshes = new Map<string, Mesh>();
  private textures = new Map<string, WebGLTexture>();
  private indexBuffer!: WebGLBuffer;
  private palette!: WebGLTexture;
  private newPalette?: Uint8Array;

  constructor(private levels: Level[]) {}

  setPalette(texture: Uint8Array): void {
    this.newPalette = texture;
    this.map?.triggerRepaint();
  }

  onAdd(map: MapLibreMap, gl: WebGL2RenderingContext | WebGLRenderingContext): void {
    this.map = map;
    this.gl = gl as WebGL2RenderingContext;
    this.programs.clear();
    this.meshes.clear();
    this.textures.clear();
    this.indexBuffer = gl.createBuffer()!;
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.indexBuffer);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, meshIndices(), gl.STATIC_DRAW);
    this.palette = gl.createTexture()!;
  }

  render(context: WebGL2RenderingContext | WebGLRenderingContext, args: CustomRenderMethodInput) {
    const gl = context as WebGL2RenderingContext;
    if (this.newPalette !== undefined) {
      const bytes = this.newPalette;
      this.bind(0, this.palette);
      gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
      gl.pixelStorei(gl.UNPACK_FLIP_Y_WEBGL, false);
      gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 2, 0, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
      this.sampleNearest();
      this.newPalette = undefined;
    }

    const { program, uniform } = this.programFor(args);
    gl.useProgram(program);
    const projection = args.defaultProjectionData;
    gl.uniformMatrix4fv(uniform.u_projection_matrix, false, projection.mainMatrix);
    gl.uniformMatrix4fv(uniform.u_projection_fallback_matrix, false, projection.fallbackMatrix);
    gl.uniform4f(uniform.u_projection_tile_mercator_coords, ...projection.tileMercatorCoords);
    gl.uniform4f(uniform.u_projection_clipping_plane, ...projection.clippingPlane);
    gl.uniform1f(uniform.u_projection_transition, projection.projectionTransition);
    gl.uniform1i(uniform.u_codes, 0);
    gl.uniform1i(uniform.u_second, 1);
    gl.uniform1i(uniform.u_palette, 2);
    gl.uniform1i(uniform.u_no_data, this.noData);
    gl.uniform1f(uniform.u_most, this.mostDifference);
    const [red, green, blue] = this.quiet;
    gl.uniform4f(uniform.u_quiet, red / 255, green / 255, blue / 255, 1);
    this.bind(2, this.palette);

    gl.disable(gl.BLEND);
    gl.disable(gl.DEPTH_TEST);
    gl.disable(gl.STENCIL_TEST);
    gl.disable(gl.CULL_FACE);
    const place = gl.getAttribLocation(program, "a_place");
    const cell = gl.getAttribLocation(program, "a_cell");
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.indexBuffer);
    for (const picture of this.pictures) {
      const width = gl.drawingBufferWidth;
      gl.uniform2f(uniform.u_clip, picture.clip[0] * width, picture.clip[1] * width);
      gl.uniform1i(uniform.u_mode, picture.mode);
      for (const piece of picture.pieces) {
        const mesh = this.meshOf(piece.tile);
        const side = this.levels[piece.tile.level].chunk;
        const codes = this.textureOf(piece.key, piece.codes, side);
        const second = piece.second && this.textureOf(piece.second.key, piece.second.values, side);
        this.bind(0, codes);
        this.bind(1, second ?? codes);
        gl.uniform1f(uniform.u_turn, piece.tile.turn);
        gl.bindBuffer(gl.ARRAY_BUFFER, mesh.buffer);
        gl.enableVertexAttribArray(place);
        gl.vertexAttribPointer(place, 2, gl.FLOAT, false, 16, 0);
        gl.enableVertexAttribArray(cell);
        gl.vertexAttribPointer(cell, 2, gl.FLOAT, false, 16, 8);
        gl.drawElements(gl.TRIANGLES, mesh.indices, gl.UNSIGNED_SHORT, 0);
      }
    }
    this.forgetOldTextures();
    this.onFrame();
  }

  private bind(unit: number, texture: WebGLTexture): void {
    this.gl.activeTexture(this.gl.TEXTURE0 + unit);
    this.gl.bindTexture(this.gl.TEXTURE_2D, texture);
  }

  private sampleNearest(): void {
    const gl = this.gl;
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
    }
    for (const wrap of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) {
      gl.texParameteri(gl.TEXTURE_2D, wrap, gl.CLAMP_TO_EDGE);
    }
  }

  private textureOf(key: string, bytes: Uint8Array, side: number): WebGLTexture {
    const gl = this.gl;
    let texture = this.textures.get(key);
    if (texture === undefined) {
      texture = gl.createTexture()!;
      this.bind(0, texture);
      gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
      gl.pixelStorei(gl.UNPACK_FLIP_Y_WEBGL, false);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.R8, side, side, 0, gl.RED, gl.UNSIGNED_BYTE, bytes);
      this.sampleNearest();
    } else {
      this.textures.delete(key);
    }
    this.textures.set(key, texture); // the newest is last
    return texture;
  }

  private forgetOldTextures(): void {
    for (const [key, texture] of this.textures) {
      if (this.textures.size <= MOST_TEXTURES) break;
      this.gl.deleteTexture(texture);
      this.textures.delete(key);
    }
  }

  private meshOf({ level, row, col }: Tile): Mesh {
    const name = `${level}/${row}/${col}`;
    let mesh = this.meshes.get(name);
    if (mesh === undefined) {
      const gl = this.gl;
      const buffer = gl.createBuffer()!;
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, meshOf(this.levels[level], row, col), gl.STATIC_DRAW);
      mesh = { buffer, indices: MESH_COLS * MESH_ROWS * 6 };
      this.meshes.set(name, mesh);
    }
    return mesh;
  }

  private programFor({ shaderData }: CustomRenderMethodInput): Program {
    let found = this.programs.get(shaderData.variantName);
    if (found === undefined) {
      const gl = this.gl;
      const program = gl.createProgram()!;
      const vertex = vertexShader(shaderData.vertexShaderPrelude, shaderData.define);
      for (const [kind, source] of [
        [gl.VERTEX_SHADER, vertex],
        [gl.FRAGMENT_SHADER, FRAGMENT_SHADER],
      ] as const) {
        const shader = gl.createShader(kind)!;
        gl.shaderSource(shader, source);
        gl.compileShader(shader);
        if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) {
          throw new Error(`shader: ${gl.getShaderInfoLog(shader)}`);
        }
        gl.attachShader(program, shader);
      }
      gl.linkProgram(program);
      const uniform: Program["uniform"] = {};
      const active = gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS);
      for (let i = 0; i < active; i++) {
        const { name } = gl.getActiveUniform(program, i)!;
        uniform[name] = gl.getUniformLocation(program, name);
      }
      found = { program, uniform };
      this.programs.set(shaderData.variantName, found);
    }
    return found;
  }
}

/** Vertices over the cells of a chunk: Mercator x and y, column and row in the chunk. */
function meshOf(level: Level, row: number, col: number): Float32Array {
  const nRows = Math.min(level.chunk, level.rows - row * level.chunk);
  const nCols = Math.min(level.chunk, level.cols - col * level.chunk);
  const vertices = new Float32Array((MESH_COLS + 1) * (MESH_ROWS + 1) * 4);
  let at = 0;
  for (let j = 0; j <= MESH_ROWS; j++) {
    const y = (nRows * j) / MESH_ROWS;
    const lat = level.north - (row * level.chunk + y) * level.step;
    const clamped = Math.min(MOST_LATITUDE, Math.max(-MOST_LATITUDE, lat));
    const northing = Math.log(Math.tan(Math.PI / 4 + (clamped * Math.PI) / 360));
    for (let i = 0; i <= MESH_COLS; i++) {
      const x = (nCols * i) / MESH_COLS;
      const lon = level.west + (col * level.chunk + x) * level.step;
      vertices.set([lon / 360 + 0.5, 0.5 - northing / (2 * Math.PI), x, y], at);
      at += 4;
    }
  }
  return vertices;
}

function meshIndices(): Uint16Array {
  const indices: number[] = [];
  const width = MESH_COLS + 1;
  for (let j = 0; j < MESH_ROWS; j++) {
    for (let i = 0; i < MESH_COLS; i++) {
      const corner = j * width + i;
      indices.push(corner, corner + width, corner + 1);
      indices.push(corner + 1, corner + width, corner + width + 1);
    }
  }
  return new Uint16Array(indices);
}
