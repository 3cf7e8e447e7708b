# SPDX-License-Identifier: Apache-2.0
"""Every variant of the model family in plain PyTorch: masked autoencoders of sound, of video and of both.

`Family(config)` is a pre-training model, `Classifier(config, modality, classes)` a classifier; `Family.features` is
what a teacher teaches. Written from the papers (arXiv 2310.03937 DiffMAViL, 2212.08071 MAViL, 2207.06405 AudioMAE,
2212.05922 Audiovisual MAE, 2210.07839 CAV-MAE, 2107.00135 MBT, 2304.03283 DiffMAE) and the weight names the project
pins in docs, not from the TypeScript. float64 throughout. With every new field at its default this is `diffmavil.py`,
which `family_check.py` checks.

Versions: Python 3.11, torch 2.13.0 (CPU), numpy 2.4.6, safetensors 0.8.0.
Legend: B batch, N tokens, K visible tokens, M = N - K masked tokens, C width, P values of a patch.
"""

import math

import torch
import torch.nn.functional as F
from diffmavil import (
    Block, alpha_bars, audio_positions, info_nce, reconstruction_loss, select_target, take, video_grid,
    video_positions,
)  # fmt: skip
from family_modules import Decoder, Encoder, Stack, decoder_blocks, make_fusion, parameter
from torch import nn

# ---------------------------------------------------------------------------------------------- grids, masks


def grid_of(config, modality):
    """Tokens along each axis; audio patches may overlap."""
    if modality == 'video':
        return video_grid(config['video'])
    audio = config['audio']
    return [(audio[axis] - audio['patch']) // audio['stride'] + 1 for axis in ('frames', 'mels')]


def values_of(config, modality):
    """Values of an input patch and of a target patch."""
    if modality == 'audio':
        return config['audio']['patch'] ** 2, config['audio']['patch'] ** 2
    video = config['video']
    frame = video['patch'] ** 2 * 3
    return frame * video['tubelet'], frame * (video['tubelet'] if video['predictFrames'] == video['frames'] else 1)


def positions_of(modality, grid, width):
    return (audio_positions if modality == 'audio' else video_positions)(grid, width)


def ratio_of(mask_ratio, modality):
    return mask_ratio[modality] if isinstance(mask_ratio, dict) else mask_ratio


def round_count(count, rounding):
    """Floor (every public code) or nearest (the papers); 1e-9 because 35 (1 - 0.8) is 6.999..."""
    return math.floor(count + (0.5 if rounding == 'nearest' else 0.0) + 1e-9)


def kept_axes(config, mask_ratio):
    """(rows, columns) of the audio grid that a structured mask keeps."""
    (rows, columns), masking = grid_of(config, 'audio'), config['masking']
    shown = 1 - ratio_of(mask_ratio, 'audio')
    by_time = shown if masking['audio'] == 'time' else math.sqrt(shown)
    by_frequency = shown if masking['audio'] == 'frequency' else math.sqrt(shown)
    return (
        rows if masking['audio'] == 'frequency' else round_count(rows * by_time, masking['rounding']),
        columns if masking['audio'] == 'time' else round_count(columns * by_frequency, masking['rounding']),
    )


def visible_tokens(config, modality, mask_ratio):
    """K of one modality."""
    if modality == 'audio' and config['masking']['audio'] != 'random':
        rows, columns = kept_axes(config, mask_ratio)
        return rows * columns
    tokens = math.prod(grid_of(config, modality))
    return round_count(tokens * (1 - ratio_of(mask_ratio, modality)), config['masking']['rounding'])


# ---------------------------------------------------------------------------------------------- encoders and fusion


def teach(features, targets):
    """Features as targets: of each token mean 0 and variance 1 if asked for."""
    return F.layer_norm(features, features.shape[-1:], eps=1e-6) if targets['normalize'] else features


class Backbone(nn.Module):
    """Encoders and fusion."""

    def __init__(self, config, modalities=('audio', 'video')):
        super().__init__()
        self.config = config
        self.modalities = [m for m in modalities if config[m]]
        encoder = config['encoder']
        width, shared = encoder['width'], encoder['sharing'] == 'shared'

        def stack():
            blocks = [Block(width, encoder['heads'], encoder['mlpRatio']) for _ in range(encoder['depth'])]
            return blocks, width if encoder['finalNorm'] else None

        for m in self.modalities:
            table = positions_of(m, grid_of(config, m), width)
            own = ([], None) if shared else stack()
            setattr(self, f'{m}_encoder', Encoder(values_of(config, m)[0], table, encoder, *own))
        if shared:
            self.shared_encoder = Stack(*stack())
        self.leading = encoder['classToken'] + encoder['distillationToken']

    def set_epsilon(self):
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = self.config['encoder']['normEpsilon']

    def part(self, modality, name):
        return getattr(self, f'{modality}_{name}')

    def encode(self, modality, patches, index):
        x = self.part(modality, 'encoder')(patches, index)
        return self.shared_encoder(x) if hasattr(self, 'shared_encoder') else x

    def encode_all(self, patches):
        """{modality: [B, N, P]} -> every token encoded, in grid order after the leading tokens."""
        return {m: self.encode(m, x, torch.arange(x.shape[1]).expand(len(x), -1)) for m, x in patches.items()}

    def fuse(self, tokens):
        if getattr(self, 'fusion', None) is None:
            return dict(tokens)
        return dict(zip(self.modalities, self.fusion([tokens[m] for m in self.modalities])))

    def patches_only(self, tokens):
        """Without class and distillation token."""
        return tokens[:, self.leading :]

    def embedding(self, modality, tokens):
        """What the contrast compares: the mean patch token before fusion; CAV-MAE's of the uni-modal stream."""
        if self.config['fusion']['kind'] == 'modality-norms':
            tokens = self.fusion.stream(tokens, f'_{modality}')
        return self.patches_only(tokens).mean(dim=1)

    def features(self, patches, targets):
        """MAViL §3.3, what this model teaches: every token visible, fusion or encoder output, in grid order."""
        tokens = self.encode_all(patches)
        tokens = self.fuse(tokens) if targets['features'] == 'fusion' else tokens
        return {m: teach(self.patches_only(x), targets) for m, x in tokens.items()}


# ---------------------------------------------------------------------------------------------- pre-training


class Family(Backbone):
    def __init__(self, config):
        super().__init__(config)
        self.fusion = make_fusion(config)
        decoder, targets = config['decoder'], config['targets']
        width, sharing = decoder['width'], decoder['sharing']
        for m in self.modalities:
            kind, grid, (_, values) = decoder[f'{m}Attention'], grid_of(config, m), values_of(config, m)
            own = (decoder_blocks(kind, grid, config), width) if sharing == 'separate' else ([], None)
            outputs = targets['width'] if targets['kind'] == 'teacher' else values
            made = Decoder(kind, positions_of(m, grid, width), values, outputs, config, *own)
            setattr(self, f'{m}_decoder', made)
        if sharing != 'separate':
            self.shared_decoder = Stack(decoder_blocks('self', None, config), width)
        if sharing == 'joint':
            self.shared_decoder.embed = nn.Linear(config['encoder']['width'], width)
            if config['masked']['kind'] == 'mask-token':
                self.shared_decoder.mask_token = parameter(width)
        if config['masked']['kind'] == 'diffused':
            self.register_buffer('alpha_bar', alpha_bars(config['masked']), persistent=False)
        self.set_epsilon()

    def own_or_shared(self, modality, name):
        decoder = self.part(modality, 'decoder')
        return getattr(decoder if hasattr(decoder, name) else self.shared_decoder, name)

    def seen(self, owner, modality, tokens, index):
        """Visible tokens of a modality at decoder width and in their places; `owner` projects them."""
        return self.part(modality, 'decoder').place(self.own_or_shared(owner, 'embed')(tokens), index)

    def hidden(self, modality, noised, index):
        """Masked tokens [B, M, C] in their places: projected x_t, or the mask token."""
        decoder = self.part(modality, 'decoder')
        if noised is not None:
            return decoder.place(decoder.noised_embed(noised), index)
        return decoder.place(self.own_or_shared(modality, 'mask_token'), index)

    def run(self, modality, *given):
        decoder = self.part(modality, 'decoder')
        return (self.shared_decoder if hasattr(self, 'shared_decoder') else decoder)(*given)

    def decode(self, tokens, noised, shown, masked):
        """Dictionaries by modality -> the decoded masked tokens [B, M, C] of each, final norm included."""
        fused = {m: self.patches_only(x) for m, x in tokens.items()}
        leading = {m: x[:, : self.leading] for m, x in tokens.items()}
        if self.config['decoder']['sharing'] == 'joint':
            grids = [self.grid_tokens(m, fused, noised, shown, masked) for m in self.modalities]
            mixed = self.shared_decoder(torch.cat(grids, dim=1)).split([x.shape[1] for x in grids], dim=1)
            return {m: take(x, masked[m]) for m, x in zip(self.modalities, mixed)}
        return {m: self.decode_one(m, fused, leading, noised, shown, masked) for m in self.modalities}

    def grid_tokens(self, m, fused, noised, shown, masked):
        together = [self.seen(m, m, fused[m], shown[m]), self.hidden(m, noised[m], masked[m])]
        return take(torch.cat(together, dim=1), torch.cat([shown[m], masked[m]], dim=1).argsort(dim=1))

    def class_tokens(self, m, leading):
        """What the decoder mixes in besides the grid; without a place, so it does not matter where it stands."""
        kind, decoder = self.config['decoder']['classToken'], self.part(m, 'decoder')
        if kind == 'encoder':  # MAE
            return [decoder.embed(leading[m])]
        return [decoder.cls_token.expand(len(leading[m]), -1, -1)] if kind == 'learned' else []  # SpatiotemporalMAE

    def decode_one(self, m, fused, leading, noised, shown, masked):
        decoder, inpainting = self.part(m, 'decoder'), self.config['decoder']['context'] == 'other-modality'
        if not inpainting and decoder.kind != 'cross':
            grid = self.grid_tokens(m, fused, noised, shown, masked)
            mixed = self.run(m, torch.cat([grid, *self.class_tokens(m, leading)], dim=1))
            return take(mixed, masked[m])
        # Audiovisual MAE, modality inpainting: the visible tokens are the other modality's.
        source = next(other for other in self.modalities if other != m) if inpainting else m
        seen = self.seen(m, source, fused[source], shown[source])
        hidden = self.hidden(m, noised[m], masked[m])
        if decoder.kind == 'cross':
            return self.run(m, hidden, decoder.context_norm(seen))
        return self.run(m, torch.cat([seen, hidden], dim=1))[:, seen.shape[1] :]

    def diffuse(self, clean, timestep, noise):
        """DiffMAViL app. B.2, in patch space; t counts from 1."""
        if noise is None:
            return None
        abar = self.alpha_bar[timestep.long() - 1][:, None, None]
        return abar.sqrt() * clean + (1 - abar).sqrt() * noise

    def score(self, modality, prediction, clean, inputs, masked):
        """Mean square over the masked tokens, of patch values or of a teacher's features as they are given."""
        if self.config['targets']['kind'] == 'teacher':
            return (prediction - take(inputs['targets'], masked)).square().mean()
        return reconstruction_loss(prediction, clean, self.config['loss']['normalizeTargets'])

    def forward(self, inputs, mask_ratio):
        """inputs: {modality: {patches [B,N,P], order [B,N], and as needed timestep, noise, targets, second_order}}."""
        config, loss = self.config, self.config['loss']
        shown, second, masked, clean, noised = {}, {}, {}, {}, {}
        for m, values in inputs.items():
            count, order = visible_tokens(config, m, mask_ratio), values['order']
            shown[m], masked[m] = order[:, :count], order[:, count:]
            if config['masking']['secondView'] == 'disjoint':
                second[m] = order[:, count : 2 * count]
            elif loss['intraWeight'] > 0:
                second[m] = values['second_order'][:, :count]
            target = values['patches']
            clean[m] = take(select_target(target, config['video']) if m == 'video' else target, masked[m])
            noised[m] = self.diffuse(clean[m], values.get('timestep'), values.get('noise'))
        first = {m: self.encode(m, inputs[m]['patches'], shown[m]) for m in self.modalities}
        decoded = self.decode(self.fuse(first), noised, shown, masked)

        out, total = {}, 0.0
        for m in self.modalities:
            prediction = self.part(m, 'decoder').head(decoded[m])
            out[f'loss.{m}'] = self.score(m, prediction, clean[m], inputs[m], masked[m])
            out[f'{m}.embedding'] = self.embedding(m, first[m])
            out[f'{m}.prediction'] = prediction
            total = total + loss[f'{m}Weight'] * out[f'loss.{m}']
        if len(self.modalities) == 2 and loss['interWeight'] > 0:
            out['loss.inter'] = self.inter_loss(out['audio.embedding'], out['video.embedding'])
            total = total + loss['interWeight'] * out['loss.inter']
        if loss['intraWeight'] > 0:
            views = {m: self.encode(m, inputs[m]['patches'], second[m]) for m in self.modalities}
            terms = [
                info_nce(out[f'{m}.embedding'], self.embedding(m, views[m]), loss['intraTemperature'])
                for m in self.modalities
            ]
            out['loss.intra'] = torch.stack(terms).mean()
            total = total + loss['intraWeight'] * out['loss.intra']
        return {'loss': total, **out}

    def inter_loss(self, audio, video):
        """MAViL queries with sound, CAV-MAE with video; 'both' is the mean of the two."""
        loss = self.config['loss']
        ways = {'audio-to-video': [(audio, video)], 'video-to-audio': [(video, audio)]}
        ways['both'] = [(audio, video), (video, audio)]
        terms = [info_nce(*way, loss['interTemperature']) for way in ways[loss['interDirection']]]
        return torch.stack(terms).mean()


# ---------------------------------------------------------------------------------------------- classifiers


class Head(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, classes)

    def forward(self, x):
        return self.linear(self.norm(x))


class Classifier(Backbone):
    """Of one modality as AudioMAE, whose head norm replaces the encoder's last, or AST; of both as MAViL, after fusion."""

    def __init__(self, config, modality, classes):
        super().__init__(config, ('audio', 'video') if modality == 'both' else (modality,))
        self.both, width = modality == 'both', config['encoder']['width']
        if self.both:
            self.fusion = make_fusion(config)
            self.av_head = Head(2 * width, classes)
        else:
            setattr(self, f'{modality}_head', Head(width, classes))
            last = getattr(self, 'shared_encoder', self.part(modality, 'encoder'))
            last.skip_norm = not config['classifier']['finalNorm']
        self.set_epsilon()

    def forward(self, patches):
        """{modality: [B, N, P]} -> logits [B, classes]"""
        tokens = self.encode_all(patches)
        tokens = self.fuse(tokens) if self.both else tokens
        # AST: the mean of class and distillation token
        by_class = self.config['classifier']['pooling'] == 'class-tokens'
        pool = (lambda x: x[:, : self.leading]) if by_class else self.patches_only
        pooled = [pool(tokens[m]).mean(dim=1) for m in self.modalities]
        head = self.av_head if self.both else self.part(self.modalities[0], 'head')
        return head(torch.cat(pooled, dim=-1))
