#version 430
// Lights every posed vertex. The meshes are finer than the pixels of a frame, so light per vertex looks like light
// per pixel, and each vertex is lit once instead of once per touched pixel block.
layout(local_size_x = 64) in;

struct Tile {
    mat4 camera;
    vec4 picture;
    vec4 shadow;     // scale and offset of the frame's tile in the shadow picture
};
layout(std430, binding = 2) readonly buffer Posed { vec4 posed[]; };
layout(std430, binding = 3) readonly buffer Tiles { Tile tiles[]; };
layout(std430, binding = 5) readonly buffer Looks { vec4 looks[]; };     // layer, shade, kind, -
layout(std430, binding = 6) writeonly buffer Lit { uvec2 lit[]; };       // half floats: square root of light, gloss

struct Rod { vec4 head; vec4 tail; };                                    // of each hand first a ball, then its bones
layout(std430, binding = 7) readonly buffer Rods { Rod rods[]; };

uniform uint num_vertices;
uniform uint rods_per_hand;
uniform mat4 light;          // world to the key light's clip space
uniform vec3 eye;
uniform vec3 key_direction;
uniform vec3 key_colour;
uniform vec3 fill_direction;
uniform vec3 fill_colour;
uniform vec3 sky_colour;
uniform vec3 floor_colour;
uniform float shadow_texel;  // 0: no shadows
uniform sampler2DShadow shadows;

const float SKIN = 0.0, GARMENT = 1.0, HAIR = 2.0, EYES = 3.0;

float key_visible(vec3 point, vec3 normal, vec4 tile) {
    if (shadow_texel == 0.0) return 1.0;
    // The offset along the normal keeps a surface from shading itself.
    vec3 place = (light * vec4(point + 0.012 * normal, 1.0)).xyz;
    place = vec3(clamp(place.xy, -0.98, 0.98) * tile.xy + tile.zw, place.z) * 0.5 + 0.5;
    float sum = 0.0;
    for (int k = 0; k < 9; ++k) {
        vec2 tap = (vec2(k % 3, k / 3) - 1.0) * shadow_texel;
        sum += textureLod(shadows, place + vec3(tap, -0.002), 0.0);
    }
    return sum / 9.0;
}

// How much of the light from all around the hands let through to a point: 1 is all.
float openness(vec3 point, vec3 normal, uint frame) {
    float open = 1.0;
    for (uint hand = 0u; hand < 2u; ++hand) {
        uint first = (2u * frame + hand) * (rods_per_hand + 1u);
        vec4 ball = rods[first].head;
        if (distance(point, ball.xyz) > ball.w) continue;
        for (uint k = 1u; k <= rods_per_hand; ++k) {
            vec4 head = rods[first + k].head;
            vec3 bone = rods[first + k].tail.xyz - head.xyz;
            vec3 away = point - head.xyz;
            away -= clamp(dot(away, bone) / dot(bone, bone), 0.0, 1.0) * bone;
            float square = max(dot(away, away), 1e-8);
            float facing = max(-dot(normal, away) * inversesqrt(square), 0.0);
            open *= 1.0 - facing * min(head.w * head.w / square, 1.0);
        }
    }
    return open;
}

void main() {
    uint vertex = gl_GlobalInvocationID.x;
    uint frame = gl_GlobalInvocationID.y;
    if (vertex >= num_vertices) return;
    vec4 point = posed[frame * num_vertices + vertex];
    float shade = looks[vertex].y;
    float kind = looks[vertex].z;
    vec3 n = normalize(unpackSnorm4x8(floatBitsToUint(point.w)).xyz);
    vec3 v = normalize(eye - point.xyz);
    if (kind != SKIN && dot(n, v) < 0.0) n = -n;  // cloth and hair are seen from both sides
    float key = dot(n, key_direction);
    // Light wraps around skin, red furthest: it scatters below the surface.
    vec3 wrap = kind == SKIN ? vec3(0.30, 0.16, 0.12) : kind == HAIR ? vec3(0.4) : vec3(0.08);
    vec3 light_in = max((key + wrap) / (1.0 + wrap), 0.0) * key_visible(point.xyz, n, tiles[frame].shadow) * key_colour;
    light_in += max(0.75 * dot(n, fill_direction) + 0.25, 0.0) * fill_colour;
    light_in += mix(floor_colour, sky_colour, 0.5 + 0.5 * n.y);
    light_in *= mix(kind == EYES ? 0.45 : shade, 1.0, 0.25);  // lids keep light from the eyes
    float open = mix(openness(point.xyz, n, frame), 1.0, 0.15);
    // What is left between fingers has gone through skin: it is red.
    light_in *= kind == SKIN ? vec3(pow(open, 0.7), open, open) : vec3(open);
    float rim = pow(1.0 - max(dot(n, v), 0.0), 4.0) * 0.15;
    light_in += rim * sky_colour;
    float strength = kind == SKIN ? 0.09 : kind == HAIR ? 0.05 : kind == EYES ? 0.3 : 0.0;
    float sharpness = kind == EYES ? 60.0 : 16.0;
    float gloss = strength * pow(max(dot(n, normalize(key_direction + v)), 0.0), sharpness) * max(key, 0.0);
    // Half the range is kept for lights above 1. Colours are stored as square roots, near to how screens show them.
    vec3 root = sqrt(0.5 * light_in);
    lit[frame * num_vertices + vertex] = uvec2(packHalf2x16(root.rg), packHalf2x16(vec2(root.b, gloss)));
}
