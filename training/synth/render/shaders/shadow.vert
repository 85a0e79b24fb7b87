#version 430
// The body as the key light sees it.
struct Tile {
    mat4 camera;
    vec4 picture;
    vec4 shadow;
};
layout(std430, binding = 2) readonly buffer Posed { vec4 posed[]; };
layout(std430, binding = 3) readonly buffer Tiles { Tile tiles[]; };

uniform uint num_vertices;
uniform mat4 light;

out float gl_ClipDistance[4];

void main() {
    vec4 tile = tiles[gl_InstanceID].shadow;
    vec3 lit = (light * vec4(posed[uint(gl_InstanceID) * num_vertices + uint(gl_VertexID)].xyz, 1.0)).xyz;
    gl_ClipDistance[0] = 1.0 + lit.x;
    gl_ClipDistance[1] = 1.0 - lit.x;
    gl_ClipDistance[2] = 1.0 + lit.y;
    gl_ClipDistance[3] = 1.0 - lit.y;
    gl_Position = vec4(lit.xy * tile.xy + tile.zw, lit.z, 1.0);
}
