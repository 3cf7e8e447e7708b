# SPDX-License-Identifier: Apache-2.0
"""Tiny models of other projects with random weights, saved as those projects save them, and what they compute.

From the libraries themselves: Hugging Face's ViT, ViT-MAE, VideoMAE and AST (transformers 5.18.0), timm's ViT (timm 1.0.29).
Each case writes fixtures/interop/<case>/: model.safetensors and config.json as a user would have them, and
expected.safetensors with the input in its natural layout (spectrogram [batch, frames, mels] or pictures
[batch, frames, rows, columns, 3]), the encoder's tokens with class tokens first and patches in time-major or (t, h, w) order,
and where there are any the logits, the mask (`order`: visible tokens first) and the predictions of the hidden ones.
Repositories without a library are in interop_repositories.py.
"""
import json
import math
from pathlib import Path

import timm
import torch
import transformers
from safetensors.torch import save_file

FIXTURES = Path(__file__).parent / 'fixtures' / 'interop'
HIDDEN = {'hidden_size': 16, 'num_hidden_layers': 2, 'num_attention_heads': 2, 'intermediate_size': 32}
DECODER = {'decoder_hidden_size': 12, 'decoder_num_hidden_layers': 1, 'decoder_num_attention_heads': 3,
           'decoder_intermediate_size': 24}


def randomize(tensors, seed, fixed=()):
    """Weights that leave no bias 0, no norm 1 and no position a pattern; activations keep their size. All fit half precision."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda shape: torch.randn(shape, generator=generator)
    for name, value in sorted(tensors.items()):
        with torch.no_grad():
            if any(part in name for part in fixed):
                pass
            elif value.ndim == 1:
                one = 1.0 if 'norm' in name and name.endswith('weight') else 0.0
                value.copy_(one + 0.3 * draw(value.shape))
            elif name.endswith('token') or 'pos' in name:
                value.copy_(0.5 * draw(value.shape))
            else:
                value.copy_(draw(value.shape) / math.sqrt(value[0].numel()))
            value.copy_(value.half())


def write(case, weights, config, expected, extra=None):
    folder = FIXTURES / case
    folder.mkdir(parents=True, exist_ok=True)
    contiguous = lambda tensors: {name: value.detach().contiguous() for name, value in tensors.items()}
    if weights is not None:
        halves = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
        save_file(contiguous(halves), folder / 'model.safetensors', {'format': 'pt'})
    if config is not None:
        (folder / 'config.json').write_text(json.dumps(config, indent=1, sort_keys=True) + '\n')
    for name, content in (extra or {}).items():
        (folder / name).write_text(json.dumps(content, indent=1, sort_keys=True) + '\n')
    save_file(contiguous(expected), folder / 'expected.safetensors')


def save_pretrained(model, case):
    """Saved in half precision, which is exact here; the file is half as long."""
    model.half().save_pretrained(FIXTURES / case)
    model.float().eval()


def inputs(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def images(pictures):
    """[batch, 1, rows, columns, 3] -> [batch, 3, rows, columns]."""
    return pictures[:, 0].permute(0, 3, 1, 2)


def hf_vit():
    config = transformers.ViTConfig(**HIDDEN, image_size=16, patch_size=4, num_labels=3,
                                    id2label={0: 'ant', 1: 'bee', 2: 'cow'})
    model = transformers.ViTForImageClassification(config)
    randomize(model.state_dict(), 1)
    save_pretrained(model, 'hf-vit')
    pictures = inputs(11, 2, 1, 16, 16, 3)
    tokens = model.vit(images(pictures)).last_hidden_state
    write('hf-vit', None, None, {'video': pictures, 'features': tokens, 'logits': model(images(pictures)).logits})


def hf_vitmae():
    config = transformers.ViTMAEConfig(**HIDDEN, **DECODER, image_size=16, patch_size=4, mask_ratio=0.75)
    model = transformers.ViTMAEForPreTraining(config)
    randomize(model.state_dict(), 2, fixed=('decoder_pos_embed',))
    save_pretrained(model, 'hf-vitmae')
    pictures, noise = inputs(12, 2, 1, 16, 16, 3), inputs(13, 2, 16)
    order = noise.argsort(1)
    patches = model(images(pictures), noise=noise).logits
    hidden = patches.gather(1, order[:, 4:, None].expand(-1, -1, patches.shape[2]))
    model.vit.config.mask_ratio = 0.0
    tokens = model.vit(images(pictures), noise=torch.arange(16.0).expand(2, 16)).last_hidden_state
    write('hf-vitmae', None, None,
          {'video': pictures, 'features': tokens, 'order': order.int(), 'prediction': hidden})


def hf_videomae():
    sizes = {'image_size': 16, 'patch_size': 4, 'num_frames': 4, 'tubelet_size': 2}
    model = transformers.VideoMAEForPreTraining(
        transformers.VideoMAEConfig(**HIDDEN, **DECODER, **sizes, use_mean_pooling=False))
    randomize(model.state_dict(), 3)
    save_pretrained(model, 'hf-videomae')
    frames = inputs(14, 1, 4, 16, 16, 3)
    pixels = frames.permute(0, 1, 4, 2, 3)
    shuffled = inputs(15, 1, 32).argsort(1)
    # The library keeps visible and masked tokens in the order of the grid.
    order = torch.cat([shuffled[:, :8].sort(1).values, shuffled[:, 8:].sort(1).values], 1)
    masked = torch.ones(1, 32, dtype=torch.bool).scatter(1, order[:, :8], False)
    write('hf-videomae', None, None, {
        'video': frames, 'features': model.videomae(pixels).last_hidden_state, 'order': order.int(),
        'prediction': model(pixels, bool_masked_pos=masked).logits,
    })
    classifier = transformers.VideoMAEForVideoClassification(
        transformers.VideoMAEConfig(**HIDDEN, **sizes, num_labels=5))
    randomize(classifier.state_dict(), 4)
    save_pretrained(classifier, 'hf-videomae-classifier')
    write('hf-videomae-classifier', None, None,
          {'video': frames, 'features': classifier.videomae(pixels).last_hidden_state,
           'logits': classifier(pixels).logits})


def hf_ast():
    config = transformers.ASTConfig(**HIDDEN, patch_size=4, frequency_stride=3, time_stride=3, max_length=20,
                                    num_mel_bins=14, num_labels=3)
    model = transformers.ASTForAudioClassification(config)
    randomize(model.state_dict(), 5)
    save_pretrained(model, 'hf-ast')
    mel = inputs(16, 2, 20, 14)
    tokens = model.audio_spectrogram_transformer(mel).last_hidden_state
    # Frequency-major 4 x 6 behind the two class tokens -> time-major.
    patches = tokens[:, 2:].reshape(2, 4, 6, 16).transpose(1, 2).reshape(2, 24, 16)
    write('hf-ast', None, None,
          {'audio': mel, 'features': torch.cat([tokens[:, :2], patches], 1), 'logits': model(mel).logits},
          {'preprocessor_config.json': {'mean': -4.2677393, 'std': 4.5689974, 'num_mel_bins': 14, 'max_length': 20,
                                        'sampling_rate': 16000}})


def timm_vit():
    model = timm.create_model('vit_base_patch16_224', embed_dim=16, depth=2, num_heads=2, img_size=16, patch_size=4,
                              num_classes=3, mlp_ratio=2).eval()
    randomize(model.state_dict(), 6)
    pictures = inputs(17, 2, 1, 16, 16, 3)
    settings = {'architecture': 'vit_base_patch16_224', 'num_attention_heads': 2, 'max_length': 24, 'num_mel_bins': 8,
                'label_names': ['ant', 'bee', 'cow'],
                'pretrained_cfg': {'input_size': [3, 16, 16], 'mean': [0.5, 0.5, 0.5], 'std': [0.25, 0.25, 0.25]}}
    expected = {'video': pictures, 'features': model.forward_features(images(pictures)), 'logits': model(images(pictures))}
    # As a spectrogram model: colours summed, positions on a grid of 6 x 2.
    mel = inputs(18, 2, 24, 8)
    kernel = model.patch_embed.proj.weight.sum(1, keepdim=True)
    embedded = torch.nn.functional.conv2d(mel[:, None], kernel, model.patch_embed.proj.bias, stride=4).flatten(2).transpose(1, 2)
    grid = model.pos_embed[:, 1:].reshape(1, 4, 4, 16).permute(0, 3, 1, 2)
    table = torch.nn.functional.interpolate(grid, size=(6, 2), mode='bicubic', align_corners=False)
    first = (model.cls_token + model.pos_embed[:, :1]).expand(2, -1, -1)
    x = torch.cat([first, embedded + table.flatten(2).transpose(1, 2)], 1)
    expected |= {'audio': mel, 'audio_features': model.norm(model.blocks(x))}
    write('timm-vit', model.state_dict(), settings, expected)


def timm_audiomae():
    """AudioMAE fine-tuned as timm has it: one channel, the mean behind `fc_norm`."""
    model = timm.create_model('vit_base_patch16_224', embed_dim=16, depth=2, num_heads=2, img_size=(24, 8), patch_size=4,
                              num_classes=3, in_chans=1, global_pool='avg', mlp_ratio=2).eval()
    randomize(model.state_dict(), 7)
    mel = inputs(19, 2, 24, 8)
    settings = {'num_attention_heads': 2, 'pretrained_cfg': {'input_size': [1, 24, 8]}}
    write('timm-audiomae', model.state_dict(), settings, {
        'audio': mel, 'features': model.forward_features(mel[:, None]), 'logits': model(mel[:, None]),
    })


if __name__ == '__main__':
    torch.set_num_threads(1)
    with torch.no_grad():
        for case in (hf_vit, hf_vitmae, hf_videomae, hf_ast, timm_vit, timm_audiomae):
            case()
