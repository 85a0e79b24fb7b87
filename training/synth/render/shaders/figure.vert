#version 430
// Places a posed and lit vertex in its frame's tile of the batch picture.
struct Tile {
    mat4 camera;     // world to clip
    vec4 picture;    // clip-space scale xy and offset zw of the frame's tile
    vec4 shadow;
};
layout(std430, binding = 2) readonly buffer Posed { vec4 posed[]; };
layout(std430, binding = 3) readonly buffer Tiles { Tile tiles[]; };
layout(std430, binding = 6) readonly buffer Lit { uvec2 lit[]; };

uniform uint num_vertices;

in vec2 in_uv;
in vec4 in_look;         // layer, shade, kind, -

out vec3 uv_layer;
out vec4 light_gloss;
out float gl_ClipDistance[4];

void main() {
    Tile tile = tiles[gl_InstanceID];
    uint vertex = uint(gl_InstanceID) * num_vertices + uint(gl_VertexID);
    vec4 clip = tile.camera * vec4(posed[vertex].xyz, 1.0);
    gl_ClipDistance[0] = clip.w + clip.x;
    gl_ClipDistance[1] = clip.w - clip.x;
    gl_ClipDistance[2] = clip.w + clip.y;
    gl_ClipDistance[3] = clip.w - clip.y;
    gl_Position = vec4(clip.xy * tile.picture.xy + tile.picture.zw * clip.w, clip.zw);
    uv_layer = vec3(in_uv, in_look.x);
    light_gloss = vec4(unpackHalf2x16(lit[vertex].x), unpackHalf2x16(lit[vertex].y));
}
