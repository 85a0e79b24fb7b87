#version 430
// Moves every vertex of the body by its bones, once per frame of the batch; all later passes read the result.
layout(local_size_x = 64) in;

struct Vertex {
    vec4 position;   // xyz metres at rest
    uint normal;     // snorm 4 x 8
    uint bones;      // 4 rows of the rig, 8 bits each
    uint weights;    // unorm 4 x 8
    uint unused;
};
layout(std430, binding = 0) readonly buffer Rest { Vertex rest[]; };
layout(std430, binding = 1) readonly buffer Bones { vec4 bones[]; };      // [frame][bone][3 rows]
layout(std430, binding = 2) writeonly buffer Posed { vec4 posed[]; };     // xyz metres, w: packed normal

uniform uint num_vertices;
uniform uint num_bones;

void main() {
    uint vertex = gl_GlobalInvocationID.x;
    uint frame = gl_GlobalInvocationID.y;
    if (vertex >= num_vertices) return;
    Vertex at_rest = rest[vertex];
    vec4 weight = unpackUnorm4x8(at_rest.weights);
    weight /= dot(weight, vec4(1.0));
    vec4 row0 = vec4(0.0), row1 = vec4(0.0), row2 = vec4(0.0);
    for (int k = 0; k < 4; ++k) {
        uint first = (frame * num_bones + ((at_rest.bones >> (8 * k)) & 255u)) * 3u;
        row0 += weight[k] * bones[first];
        row1 += weight[k] * bones[first + 1u];
        row2 += weight[k] * bones[first + 2u];
    }
    vec4 point = vec4(at_rest.position.xyz, 1.0);
    vec3 normal = unpackSnorm4x8(at_rest.normal).xyz;
    vec3 turned = normalize(vec3(dot(row0.xyz, normal), dot(row1.xyz, normal), dot(row2.xyz, normal)));
    uint packed_normal = packSnorm4x8(vec4(turned, 0.0));
    posed[frame * num_vertices + vertex] =
        vec4(dot(row0, point), dot(row1, point), dot(row2, point), uintBitsToFloat(packed_normal));
}
