#version 430
// Texture times light: both are square roots of what they mean, so their product is the colour to store.
uniform sampler2DArray textures;

in vec3 uv_layer;
in vec4 light_gloss;

layout(location = 0) out vec4 colour;

void main() {
    vec4 texel = texture(textures, uv_layer);
    colour = vec4(texel.rgb * light_gloss.rgb + light_gloss.a, 1.0);
}
