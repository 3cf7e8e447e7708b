// SPDX-License-Identifier: Apache-2.0
// A model in use: waveforms and frames in; embeddings, labels and reconstructions out.
// Runs in browsers; DiffMavil.fromPretrained, which reads files, is in '@diffmavil/model/node'.
import { denormalize, unpatchify as unpatchifyAudio } from '@diffmavil/audio-spectrogram';
import { CheckpointError, ConfigError, disposeTree } from '@diffmavil/core';
import { denormalizeFrames, unpatchify as unpatchifyVideo } from '@diffmavil/video-patchify';
import type { Frames } from '@diffmavil/video-patchify';
import * as tf from '@tensorflow/tfjs-core';

import { audioVideoClassifierForward, classifierForward } from './classifier.ts';
import { audioOf, patchValues, tokenCount, videoOf } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';
import { embedPatches } from './embed.ts';
import type { PerModality } from './fusion.ts';
import { clipAudioPatches, clipVideoPatches } from './input-patches.ts';
import { headName } from './parameter-entries.ts';
import type { ClassifierInput } from './parameter-entries.ts';
import { checkParameterShapes } from './parameters.ts';
import type { Parameters } from './parameters.ts';
import { checkPreprocessor, defaultPreprocessor } from './preprocessor.ts';
import type { Preprocessor } from './preprocessor.ts';
import { reconstructPatches } from './reconstruct.ts';
import type { PatchReconstruction, ReconstructOptions } from './reconstruct.ts';

/** Sound: mono samples in -1..1 at a rate in Hz. */
export interface AudioClip {
  readonly waveform: Float32Array;
  readonly sampleRate: number;
}

/** Pictures: rgb frames [frames, height, width, 3], 0..255, at a rate in frames per second. */
export interface VideoClip {
  readonly frames: Frames;
  readonly frameRate: number;
}

/** One class and its probability, 0..1. */
export interface Classification {
  readonly label: string;
  readonly score: number;
}

/** Spectrograms [frames, mels], raw log-mel. */
export interface AudioReconstruction {
  readonly frames: number;
  readonly mels: number;
  readonly original: Float32Array;
  readonly masked: Float32Array;
  readonly prediction: Float32Array;
  /** The same in normalised patches, and what was hidden. */
  readonly patches: PatchReconstruction;
}

/** Pictures [frames, size, size, 3], 0..255; the frames are those the decoder predicts. */
export interface VideoReconstruction {
  readonly frames: number;
  readonly size: number;
  readonly original: Uint8ClampedArray;
  readonly masked: Uint8ClampedArray;
  readonly prediction: Uint8ClampedArray;
  /** The same in normalised patches, and what was hidden. */
  readonly patches: PatchReconstruction;
}

export interface DiffMavilParts {
  readonly config: ModelConfig;
  /** Weights by name; owned by the model from here on. */
  readonly parameters: Parameters;
  /** Default: AudioSet and ImageNet statistics, no labels. */
  readonly preprocessor?: Preprocessor;
}

/** A loaded model. It owns its weights: call `dispose` when done. */
export class DiffMavil {
  readonly config: ModelConfig;
  readonly parameters: Parameters;
  readonly preprocessor: Preprocessor;
  #disposed = false;

  protected constructor({ config, parameters, preprocessor }: Required<DiffMavilParts>) {
    this.config = config;
    this.parameters = parameters;
    this.preprocessor = preprocessor;
  }

  /** A model of weights at hand. Throws CheckpointError when weights or preprocessor do not fit the configuration. */
  static fromParameters(parts: DiffMavilParts): DiffMavil {
    return new DiffMavil(checkParts(parts, 'DiffMavil.fromParameters'));
  }

  /** Waveform in -1..1 -> embedding [width]: mean over the tokens of the unmasked clip. Longer sound is cut, shorter padded. */
  async embedAudio(waveform: Float32Array, sampleRate: number): Promise<Float32Array> {
    return this.#embed('audio', clipAudioPatches(this, { waveform, sampleRate }));
  }

  /** Frames at a rate in frames per second -> embedding [width]: the middle stretch of the clip, centre crop. */
  async embedVideo(frames: Frames, frameRate: number): Promise<Float32Array> {
    return this.#embed('video', clipVideoPatches(this, { frames, frameRate }));
  }

  /**
   * Classes of a clip, most likely first: of sound, of pictures, or of both where the model's head reads both. A clip may bring more than
   * the head reads. Throws CheckpointError when the model has no head for what the clip brings.
   */
  async classify(
    clip: AudioClip | VideoClip | (AudioClip & VideoClip),
    { top }: { readonly top?: number } = {},
  ): Promise<Classification[]> {
    const { labels, task } = this.preprocessor;
    const sound = 'waveform' in clip ? clip : null;
    const pictures = 'frames' in clip ? clip : null;
    const input = this.#headFor(sound !== null, pictures !== null);
    if (labels === null || input === null) {
      const brought = [sound && 'audio', pictures && 'video'].filter(Boolean).join(' and ');
      throw new CheckpointError(
        `classify: expected a model with a classification head for ${brought}, got one without. ` +
          'Try: fine-tune it first',
      );
    }
    const audio = sound && input !== 'video' ? clipAudioPatches(this, sound) : null;
    const video = pictures && input !== 'audio' ? clipVideoPatches(this, pictures) : null;
    const scores = await this.#read(() => {
      const patches = {
        ...(audio && { audio: this.#patches('audio', audio) }),
        ...(video && { video: this.#patches('video', video) }),
      };
      const logits =
        input === 'both'
          ? audioVideoClassifierForward(this.config, this.parameters, patches)
          : classifierForward(this.config, this.parameters, input, patches[input] as tf.Tensor);
      return task === 'multi-label' ? tf.sigmoid(logits) : tf.softmax(logits);
    });
    return labels
      .map((label, i) => ({ label, score: scores[i] ?? Number.NaN }))
      .toSorted((a, b) => b.score - a.score)
      .slice(0, top ?? labels.length);
  }

  /**
   * Hides most of a clip and predicts it back, in one step or sampled in many (`steps`); sound, pictures or both.
   * Throws CheckpointError for a model without decoders, ConfigError for options it cannot serve.
   */
  async reconstruct(
    clip: Partial<AudioClip> & Partial<VideoClip>,
    options: ReconstructOptions = {},
  ): Promise<{ audio?: AudioReconstruction; video?: VideoReconstruction }> {
    const { waveform, sampleRate, frames, frameRate } = clip;
    const sound = waveform && sampleRate ? clipAudioPatches(this, { waveform, sampleRate }) : null;
    const pictures = frames && frameRate ? clipVideoPatches(this, { frames, frameRate }) : null;
    if (sound === null && pictures === null) {
      throw new ConfigError(
        'reconstruct: expected waveform and sampleRate, or frames and frameRate, got neither',
      );
    }
    this.#requireDecoders();
    const made: PerModality<tf.Tensor> = {
      ...(sound && { audio: this.#patches('audio', sound) }),
      ...(pictures && { video: this.#patches('video', pictures) }),
    };
    try {
      const { audio, video } = reconstructPatches(this.config, this.parameters, made, options);
      return {
        ...(audio && { audio: this.#spectrograms(audio) }),
        ...(video && { video: this.#pictures(video) }),
      };
    } finally {
      disposeTree(made);
    }
  }

  /** Frees the weights; the model cannot be used afterwards. */
  dispose(): void {
    this.#disposed = true;
    disposeTree(this.parameters);
  }

  /** The head that reads most of what a clip brings. */
  #headFor(audio: boolean, video: boolean): ClassifierInput | null {
    const fitting: ClassifierInput[] = [
      ...(audio && video ? (['both'] as const) : []),
      ...(audio ? (['audio'] as const) : []),
      ...(video ? (['video'] as const) : []),
    ];
    const has = (input: ClassifierInput): boolean =>
      this.parameters[`${headName(input)}.linear.weight`] !== undefined;
    return fitting.find(has) ?? null;
  }

  #embed(modality: Modality, values: Float32Array): Promise<Float32Array> {
    return this.#read(() => {
      const patches = this.#patches(modality, values);
      return embedPatches(this.config, this.parameters, modality, patches);
    });
  }

  async #read(compute: () => tf.Tensor): Promise<Float32Array> {
    const result = tf.tidy(compute);
    try {
      return await result.data<'float32'>();
    } finally {
      result.dispose();
    }
  }

  #patches(modality: Modality, values: Float32Array): tf.Tensor {
    if (this.#disposed)
      throw new ConfigError('DiffMavil: expected a model in use, got a disposed one');
    const shape: [number, number, number] = [
      1,
      tokenCount(this.config, modality),
      patchValues(this.config, modality),
    ];
    return tf.tensor3d(values, shape);
  }

  #requireDecoders(): void {
    if (!Object.keys(this.parameters).some((name) => name.includes('_decoder.'))) {
      throw new CheckpointError(
        'reconstruct: expected a model with decoders, got one without. Try: a pre-trained model folder',
      );
    }
  }

  #spectrograms(patches: PatchReconstruction): AudioReconstruction {
    const { frames, mels, patch } = audioOf(this.config);
    const { mean, std } = this.preprocessor.audio ?? { mean: 0, std: 0.5 };
    const show = (values: Float32Array): Float32Array =>
      denormalize(unpatchifyAudio(values, { frames, mels, patch }), mean, std);
    return {
      frames,
      mels,
      original: show(patches.original),
      masked: show(patches.masked),
      prediction: show(patches.prediction),
      patches,
    };
  }

  #pictures(patches: PatchReconstruction): VideoReconstruction {
    const { frames, size, tubelet, patch, predictFrames } = videoOf(this.config);
    const { mean, std } = this.preprocessor.video ?? { mean: [0, 0, 0], std: [1, 1, 1] };
    const grid = {
      frames: predictFrames,
      size,
      tubelet: (tubelet * predictFrames) / frames,
      patch,
    };
    const show = (values: Float32Array): Uint8ClampedArray =>
      Uint8ClampedArray.from(denormalizeFrames(unpatchifyVideo(values, grid), mean, std));
    return {
      frames: predictFrames,
      size,
      original: show(patches.original),
      masked: show(patches.masked),
      prediction: show(patches.prediction),
      patches,
    };
  }
}

/** Fills the default preprocessor and checks that the parts fit. Throws CheckpointError naming `where`. */
export function checkParts(
  { config, parameters, preprocessor }: DiffMavilParts,
  where: string,
): Required<DiffMavilParts> {
  const fitting =
    preprocessor === undefined
      ? defaultPreprocessor(config)
      : checkPreprocessor(preprocessor, config, `${where}: preprocessor`);
  const classes = fitting.labels?.length ?? null;
  checkParameterShapes(config, parameters, { classes, where: `${where}: parameters` });
  return { config, parameters, preprocessor: fitting };
}
