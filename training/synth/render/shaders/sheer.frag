#version 430
// Cloth and hair: as other surfaces, with holes where the texture is transparent.
uniform sampler2DArray textures;

in vec3 uv_layer;
in vec4 light_gloss;

layout(location = 0) out vec4 colour;

void main() {
    vec4 texel = texture(textures, uv_layer);
    if (texel.a < 0.4) discard;
    colour = vec4(texel.rgb * light_gloss.rgb + light_gloss.a, 1.0);
}
