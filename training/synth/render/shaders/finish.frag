#version 430
// From drawn figures to the frames a camera would have given: shutter, background, exposure, colour, noise.
uniform sampler2D figures;       // the batch picture, premultiplied by coverage
uniform sampler2D background;
uniform ivec2 frame_size;
uniform int oversample;            // pixels of the batch picture per pixel of a frame, along each side
uniform int columns;             // tiles in a row of the batch picture, and frames in a row of the result
uniform int num_exposures;       // pictures that make one frame: motion blur
uniform int first_frame;
uniform uint noise_seed;
uniform vec3 gain;               // exposure and white balance
uniform float contrast;
uniform float saturation;
uniform float noise;
uniform float vignette;
uniform vec3 wall_shadow;        // offset in frame heights, strength

struct Sway { vec2 shift; vec2 unused; };
layout(std430, binding = 4) readonly buffer Sways { Sway sways[]; };

layout(location = 0) out vec4 colour;

uint scramble(uint x) {
    x ^= x >> 16; x *= 0x7feb352du; x ^= x >> 15; x *= 0x846ca68bu; x ^= x >> 16;
    return x;
}

// Sum of two uniform numbers: near enough to a bell for sensor noise. Three quarters of it are the same in all colours,
// for a colour's own noise is what cameras take out first.
vec3 grain(uvec2 pixel, uint frame) {
    uint state = scramble(pixel.x + 4096u * pixel.y + scramble(frame ^ noise_seed));
    float result[4];
    for (int k = 0; k < 4; ++k) {
        state = scramble(state + 0x9e3779b9u);
        result[k] = float(state & 65535u) / 65536.0 + float(state >> 16) / 65536.0 - 1.0;
    }
    return 0.866 * result[3] + 0.5 * vec3(result[0], result[1], result[2]);
}

vec4 figure_at(int frame, ivec2 pixel) {
    vec4 sum = vec4(0.0);
    for (int k = 0; k < num_exposures; ++k) {
        int tile = frame * num_exposures + k;
        ivec2 corner = (ivec2(tile % columns, tile / columns) * frame_size + pixel) * oversample;
        for (int y = 0; y < oversample; ++y)
            for (int x = 0; x < oversample; ++x) sum += texelFetch(figures, corner + ivec2(x, y), 0);
    }
    return sum / float(num_exposures * oversample * oversample);
}

// How much of the surroundings of a place the figure covers, from a small copy of the batch picture.
float blurred_cover(int frame, vec2 place) {
    int tile = frame * num_exposures;
    vec2 inside = clamp(place, 0.06, 0.94);
    vec2 at = (vec2(tile % columns, tile / columns) + inside) * vec2(frame_size * oversample);
    return textureLod(figures, at / vec2(textureSize(figures, 0)), log2(0.035 * float(frame_size.y * oversample))).a;
}

void main() {
    ivec2 target = ivec2(gl_FragCoord.xy);
    ivec2 cell = target / frame_size;
    ivec2 pixel = target - cell * frame_size;
    int frame = cell.y * columns + cell.x;
    vec4 figure = figure_at(frame, pixel);
    vec2 place = (vec2(pixel) + 0.5) / vec2(frame_size);
    vec3 scene = figure.rgb;
    if (figure.a < 1.0) {
        vec3 behind = texture(background, place + sways[frame].shift).rgb;
        if (wall_shadow.z > 0.0) {
            float dark = 0.0;
            for (int k = 0; k < 4; ++k) {
                vec2 tap = (vec2(k % 2, k / 2) - 0.5) * 0.05 - wall_shadow.xy;
                dark += 0.25 * blurred_cover(frame, (vec2(pixel) + 0.5) / vec2(frame_size) + tap);
            }
            behind *= 1.0 - wall_shadow.z * dark;
        }
        scene += (1.0 - figure.a) * behind * 0.70711;
    }
    vec3 linear = scene * scene * 2.0 * gain;
    vec2 off = (place - 0.5) * vec2(float(frame_size.x) / float(frame_size.y), 1.0);
    linear *= 1.0 - vignette * dot(off, off);
    linear = linear / (1.0 + 0.12 * linear * linear);  // highlights roll off instead of clipping hard
    vec3 shown = sqrt(max(linear, 0.0));
    shown = mix(vec3(dot(shown, vec3(0.299, 0.587, 0.114))), shown, saturation);
    shown = (shown - 0.5) * contrast + 0.5;
    if (noise > 0.0) shown += noise * (1.3 - shown) * grain(uvec2(pixel), uint(first_frame + frame));
    colour = vec4(shown, 1.0);
}
